import { beforeEach, expect, test } from 'vitest';
import { installMessages } from '../testing/ui';
import { duration, fileSize } from './format';

beforeEach(installMessages);

test('durations and sizes are formatted', () => {
  expect([0, 59.4, 60, 65].map(duration)).toEqual(['0 s', '59 s', '1 min', '1 min 5 s']);
  expect([1, 999_999, 2_431_000].map(fileSize)).toEqual(['1 kB', '1000 kB', '2.4 MB']);
});
