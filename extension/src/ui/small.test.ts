import { beforeEach, expect, test } from 'vitest';
import type { PhotoView, Problem } from '../messages';
import { compareSlider } from './compare-slider';
import { parsePairingLink } from './pairing-link';
import { dataUrlToBlob } from './canvas';
import { mayRetry, problemHelp, problemTitle } from './problem-text';
import { savedName } from './saved-name';
import { duration, fileSize } from './format';
import { progressOf, stageText, timeText } from './stage-text';
import { receiptWith, installMessages } from '../testing/ui';

beforeEach(installMessages);

test('times and sizes in words', () => {
  expect([0, 59.4, 60, 65].map(duration)).toEqual(['0 s', '59 s', '1 min', '1 min 5 s']);
  expect([1, 999_999, 2_431_000].map(fileSize)).toEqual(['1 kB', '1000 kB', '2.4 MB']);
});

test.each([
  ['http://127.0.0.1:8765/#code=ABCD-EFGH', { address: 'http://127.0.0.1:8765', code: 'ABCD-EFGH' }],
  [' https://photos.lan/#code=A ', { address: 'https://photos.lan', code: 'A' }],
  ['ABCD-EFGH', null],
  ['http://127.0.0.1:8765/', null],
  ['javascript:1#code=A', null],
])('a pasted pairing link %s', (pasted, parts) => expect(parsePairingLink(pasted)).toEqual(parts));

test.each([
  ['me.jpg', 'image/jpeg', 'me.protected.jpg'],
  ['me.JPEG', 'image/jpeg', 'me.protected.JPEG'],
  ['me.heic', 'image/jpeg', 'me.protected.jpg'],
  ['', 'image/png', 'photo.protected.png'],
  ['image', 'image/webp', 'image.protected.webp'],
])('%s as %s is saved as %s', (name, type, saved) => expect(savedName(name, type)).toBe(saved));

const NOW = 1_000_000;
function view(stage: PhotoView['stage'], deadline: number | null = 60): PhotoView {
  return { id: 'a', name: 'a.jpg', bytes: 1, thumbnail: '', stage, since: NOW - 14_000, deadline };
}

test('progress is a share only while steps are counted', () => {
  expect(progressOf(view({ at: 'running', step: 9, steps: 45 }))).toBe(0.2);
  expect(progressOf(view({ at: 'running', step: 45, steps: 45 }))).toBe('unknown');
  expect(progressOf(view({ at: 'queued', position: 2 }))).toBe('unknown');
  expect(progressOf(view({ at: 'withheld' }))).toBeNull();
});

test('time that is not known is said to be unknown', () => {
  const running = { at: 'running', step: 0, steps: null } as const;
  expect(timeText(view(running), NOW)).toBe('14 s so far, at most 46 s left');
  expect(timeText(view(running, null), NOW)).toBe('14 s so far, time left unknown');
  expect(timeText(view(running, 10), NOW)).toBe('14 s so far, longer than the 10 s it was given');
  expect(timeText(view({ at: 'withheld' }), NOW)).toBe('');
});

test('a photo whose checks failed is not called protected', () => {
  const stage = { at: 'done', before: '', after: '' } as const;
  expect(stageText(view({ ...stage, receipt: receiptWith() }))).toBe('Protected: 5 of 7 checks');
  expect(stageText(view({ ...stage, receipt: receiptWith({ beatsRandom: 2 }) }))).not.toContain('Protected');
});

test('every problem has a title, a way on, and the sentence of the server where that says more', () => {
  const codes: Problem['code'][] = ['unpaired', 'unreachable', 'unauthorised', 'busy', 'too-large'];
  codes.push('refused', 'failed', 'gone', 'reload', 'internal');
  for (const code of codes) {
    const problem = { code, detail: 'the photo has 48 MB' };
    expect(problemTitle(problem)).not.toBe('');
    expect(problemHelp(problem).every((words) => words.length > 0)).toBe(true);
  }
  expect(problemHelp({ code: 'failed', detail: 'out of memory' })[0]).toBe('Out of memory.');
  expect(problemHelp({ code: 'busy', detail: '', retryAfter: 4.2 })).toEqual(['Try again in about 5 seconds.']);
  expect(mayRetry({ code: 'reload', detail: '' })).toBe(false);
});

test('a data: URL is read without fetching', async () => {
  const blob = dataUrlToBlob('data:image/png;base64,aGk=');
  expect([blob.type, await blob.text()]).toEqual(['image/png', 'hi']);
});

test('the slider tells its value to those who do not see it', () => {
  const [left, right] = [document.createElement('canvas'), document.createElement('canvas')];
  const range = compareSlider(left, right, 'me.jpg').querySelector('input')!;
  expect(range.getAttribute('aria-label')).toBe('Before and after of me.jpg');
  range.value = '20';
  range.dispatchEvent(new Event('input'));
  expect(range.getAttribute('aria-valuetext')).toBe('20 % before, 80 % after');
  expect(right.style.clipPath).toContain('20%');
});
