// @vitest-environment happy-dom
import { expect, test } from 'vitest';
import { photoHandleIn, rememberHandle } from './post-message';

const photo = { kind: 'file', name: 'me.JPG' };
const text = { kind: 'file', name: 'notes.txt' };
rememberHandle(photo);
rememberHandle(text);

test.each([
  ['the handle itself', photo],
  ['in an object of a list', [1, { deep: [photo] }]],
  ['in a map', new Map([['file', photo]])],
  ['as the key of a map', new Map([[photo, 1]])],
  ['in a set', new Set([photo])],
])("a photo's handle is found: %s", (_, message) => {
  expect(photoHandleIn(message)).toBe('me.JPG');
});

test('other messages pass, including circular ones', () => {
  const circle: Record<string, unknown> = { bytes: new Uint8Array(9) };
  circle['self'] = circle;
  const others = [circle, text, 'me.JPG', null, undefined, { kind: 'file', name: 'me.JPG' }, new Blob(['x'])];
  for (const message of others) expect(photoHandleIn(message)).toBeUndefined();
});
