// @vitest-environment happy-dom
import { beforeEach, expect, test } from 'vitest';
import { installMessages, receiptWith } from '../testing/ui';
import { text } from './i18n';
import { beatsControl, facts, headline, isWeak, shortHeadline, warnings } from './receipt-text';
import { receiptView } from './receipt-view';

beforeEach(installMessages);

test.each([
  [{ beatsRandom: 12, checks: 14 }, '12 of the 14 checks beat a random change of the same size', '12 of 14 checks'],
  [{ beatsRandom: 1, checks: 1 }, 'The one check beat a random change of the same size', '1 of 1 check'],
  [{ beatsRandom: 0, checks: 1 }, 'The one check did not beat a random change of the same size', '0 of 1 check'],
  [{ beatsRandom: 0, checks: 0 }, 'Not measured: no encoder was available', 'not measured'],
])('the headline of %o', (changes, long, short) => {
  const receipt = receiptWith(changes);
  expect([headline(receipt), shortHeadline(receipt)]).toEqual([long, short]);
});

test('a difference within the margin is not more', () => {
  expect(beatsControl('shift', { protected: 0.15, random: 0.14 })).toBe(false);
  expect(beatsControl('decodedPsnr', { protected: 19, random: 28 })).toBe(true);
  expect(beatsControl('decodedPsnr', { protected: null, random: 28 })).toBe(false); // null: infinite, no damage
});

test("the server's verdict counts before the margin", () => {
  expect(beatsControl('shift', { protected: 0.15, random: 0.14, clearlyMore: true })).toBe(true);
  expect(beatsControl('shift', { protected: 0.5, random: 0.1, clearlyMore: false })).toBe(false);
});

test('a photo that passes half of the checks is called not protected', () => {
  const weak = receiptWith({ beatsRandom: 3, checks: 6 });
  expect(isWeak(weak)).toBe(true);
  expect(warnings(weak)[0]).toContain('Treat this photo as not protected');
  expect(isWeak(receiptWith())).toBe(false);
});

test('a receipt of the student only is called an estimate', () => {
  const [effect] = receiptWith().effects;
  const gauge = { ...effect!, role: 'gauge' as const, decodedPsnr: null, decodedLpips: null, decodedIdentity: null };
  expect(warnings(receiptWith({ effects: [gauge], beatsRandom: 1, checks: 1 }))[0]).toContain('This is an estimate');
});

test('a warning appears if the face is still the same person', () => {
  const effects = receiptWith().effects.map((effect) => ({
    ...effect,
    decodedIdentity: { protected: 0.8, random: 0.9 },
  }));
  expect(warnings(receiptWith({ effects })).join()).toContain('the lowest identity similarity is 0.80');
});

test('what remains after the platform is compared with the random change', () => {
  const after = facts(receiptWith()).find(({ title }) => title === 'After Instagram');
  // 0.81 x 0.18 = 0.15, 0.14 x 1 = 0.14: within the margin.
  expect(after?.sentences[0]).toBe(
    'Instagram: a shift of 15 % remains on taesd, no longer clearly more than that of a random change (14 %).',
  );
  expect(after?.sentences[1]).toContain('After 1 of 2 simulated changes');
});

test('identical photos are called identical', () => {
  const equal = { ...receiptWith().imperceptibility, psnr: null };
  expect(facts(receiptWith({ imperceptibility: equal }))[0]?.sentences).toEqual([text('eye_equal')]);
});

test('the receipt shows every number, and the file name only in its label', () => {
  const view = receiptView(receiptWith(), 'me.jpg');
  expect(view.getAttribute('aria-label')).toBe('Receipt of me.jpg');
  expect(view.textContent).not.toContain('me.jpg');
  expect(view.querySelectorAll('table')).toHaveLength(3);
  expect(view.textContent).toContain('random 0.14, not clearly more'.replace('0.14', '0.140'));
});
