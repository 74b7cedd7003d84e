import { beforeEach, expect, test } from 'vitest';
import type { PhotoView } from '../messages';
import { installMessages, receiptWith } from '../testing/ui';
import { progressOf, stageText, timeText } from './stage-text';

beforeEach(installMessages);

const NOW = 1_000_000;
function view(stage: PhotoView['stage'], deadline: number | null = 60): PhotoView {
  return { id: 'a', name: 'a.jpg', bytes: 1, thumbnail: '', stage, since: NOW - 14_000, deadline };
}

test('progress is a number only while steps are counted', () => {
  expect(progressOf(view({ at: 'running', step: 9, steps: 45 }))).toBe(0.2);
  expect(progressOf(view({ at: 'running', step: 45, steps: 45 }))).toBe('unknown');
  expect(progressOf(view({ at: 'queued', position: 2 }))).toBe('unknown');
  expect(progressOf(view({ at: 'withheld' }))).toBeNull();
});

test('unknown time is shown as unknown', () => {
  const running = { at: 'running', step: 0, steps: null } as const;
  expect(timeText(view(running), NOW)).toBe('14 s so far, at most 46 s left');
  expect(timeText(view(running, null), NOW)).toBe('14 s so far, time left unknown');
  expect(timeText(view(running, 10), NOW)).toBe('14 s so far, over the limit of 10 s');
  expect(timeText(view({ at: 'withheld' }), NOW)).toBe('');
});

test('a photo whose checks failed is not called protected', () => {
  const stage = { at: 'done', before: '', after: '' } as const;
  expect(stageText(view({ ...stage, receipt: receiptWith() }))).toBe('Protected: 5 of 7 checks');
  expect(stageText(view({ ...stage, receipt: receiptWith({ beatsRandom: 2 }) }))).not.toContain('Protected');
});
