import { expect, test } from 'vitest';
import { badgeText } from './badge';

test.each([
  [0, true, ''],
  [0, false, 'off'],
  [1, true, '1'],
  [2, false, '2'],
  [120, true, '99+'],
])('%i photos held, enabled %s: %o', (held, enabled, text) => {
  expect(badgeText(held, enabled)).toBe(text);
});
