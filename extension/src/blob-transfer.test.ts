import * as v from 'valibot';
import { expect, test } from 'vitest';
import { MAX_BASE64_BYTES, packBlob, unpackBlob } from './blob-transfer';
import { blobPayload } from './messages';

test.each([0, 1, 2, 3, 24_575, 24_576, 24_577, 100_000])('%i bytes survive the transfer as base64', async (size) => {
  const bytes = Uint8Array.from({ length: size }, (_, at) => (at * 7919) % 256);
  const packed = await packBlob(new Blob([bytes], { type: 'image/png' }), true);
  expect(v.is(blobPayload, packed)).toBe(true);
  expect(packed).not.toBeInstanceOf(Blob);
  const back = unpackBlob(JSON.parse(JSON.stringify(packed)) as never);
  expect(back.type).toBe('image/png');
  expect(new Uint8Array(await back.arrayBuffer())).toEqual(bytes);
});

test('a Blob is not changed where browsers can clone it', async () => {
  const photo = new Blob(['x']);
  expect(await packBlob(photo, false)).toBe(photo);
});

test('a photo that is too large for a message is reported', async () => {
  const huge = { size: MAX_BASE64_BYTES + 1 } as Blob;
  expect(await packBlob(huge, true)).toBeUndefined();
});

test.each([[{}], [null], ['text'], [{ base64: 1, type: '' }]])('%o is not a photo', (value) => {
  expect(v.is(blobPayload, value)).toBe(false);
});
