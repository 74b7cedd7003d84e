import { expect, test } from 'vitest';
import { MOST_AS_BASE64, pack, payload, unpack } from './payload';

test.each([0, 1, 2, 3, 24_575, 24_576, 24_577, 100_000])('%i bytes survive the way as base64', async (size) => {
  const bytes = Uint8Array.from({ length: size }, (_, at) => (at * 7919) % 256);
  const packed = await pack(new Blob([bytes], { type: 'image/png' }), true);
  expect(payload(packed)).toBe(true);
  expect(packed).not.toBeInstanceOf(Blob);
  const back = unpack(JSON.parse(JSON.stringify(packed)) as never);
  expect(back.type).toBe('image/png');
  expect(new Uint8Array(await back.arrayBuffer())).toEqual(bytes);
});

test('a Blob goes as it is where browsers clone it', async () => {
  const photo = new Blob(['x']);
  expect(await pack(photo, false)).toBe(photo);
});

test('what no message of the browser can hold is said, not lost', async () => {
  const huge = { size: MOST_AS_BASE64 + 1 } as Blob;
  expect(await pack(huge, true)).toBeUndefined();
});

test.each([[{}], [null], ['text'], [{ base64: 1, type: '' }]])('%o is no payload', (value) => {
  expect(payload(value)).toBe(false);
});
