import { describe, expect, test } from 'vitest';
import { isLeak, photosInBody } from './leak-alarm';

const original = { name: 'other.jpg', outcome: 'original' };
const protectedOne = { name: 'a.jpg', outcome: 'protected' };

describe('a file on disk in a body is an original, because protected photos are in memory', () => {
  const carried = photosInBody({ raw: [{ bytes: new ArrayBuffer(3) }, { file: '/home/me/A photo.JPG' }] }, true);
  test('it raises the alarm', () => {
    expect(isLeak(carried, [])).toBe(true);
    expect(isLeak(carried, [protectedOne])).toBe(true);
  });
  test('it raises no alarm if the user released an original in this tab', () => {
    expect(isLeak(carried, [original])).toBe(false);
  });
  test('other files raise no alarm', () => {
    expect(isLeak(photosInBody({ raw: [{ file: '/home/me/text.pdf' }] }, true), [])).toBe(false);
  });
});

describe('a native form shows only names', () => {
  const carried = photosInBody({ formData: { photo: ['a.jpg'], title: ['My cat'] } }, true);
  test('a name without a hold raises the alarm', () => {
    expect(isLeak(carried, [])).toBe(true);
    expect(isLeak(carried, [{ ...protectedOne, name: 'b.jpg' }])).toBe(true);
  });
  test('the name of a withheld photo raises the alarm', () => {
    expect(isLeak(carried, [{ name: 'a.jpg', outcome: 'withheld' }])).toBe(true);
  });
  test('the name of a protected photo raises no alarm', () => {
    expect(isLeak(carried, [protectedOne])).toBe(false);
  });
  test("a name in a script's request raises no alarm", () => {
    expect(isLeak(photosInBody({ formData: { photo: ['blob.jpg'] } }, false), [])).toBe(false);
  });
  test('a form without photos raises no alarm', () => {
    expect(isLeak(photosInBody({ formData: { title: ['My cat'] } }, true), [])).toBe(false);
  });
});

test('a body that browsers do not show raises no alarm', () => {
  expect(isLeak(photosInBody({ error: 'Unknown error.' }, true), [])).toBe(false);
  expect(isLeak(photosInBody({ raw: [{ bytes: Uint8Array.of(0xff, 0xd8, 0xff).buffer }] }, true), [])).toBe(false);
});
