import { expect, test } from 'vitest';
import { dataUrlToBlob } from './canvas';

test('a data: URL is decoded without fetch', async () => {
  const blob = dataUrlToBlob('data:image/png;base64,aGk=');
  expect([blob.type, await blob.text()]).toEqual(['image/png', 'hi']);
});
