import { expect, test } from 'vitest';
import { asSentence } from './as-sentence';

test('a sentence begins with a capital letter and ends with one full stop', () => {
  expect([asSentence('the file is empty'), asSentence('Stop!'), asSentence('')]).toEqual([
    'The file is empty.',
    'Stop!',
    '',
  ]);
});
