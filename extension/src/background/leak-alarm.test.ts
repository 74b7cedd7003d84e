import { describe, expect, test } from 'vitest';
import { isLeak, photosInBody } from './leak-alarm';

const original = { name: 'other.jpg', outcome: 'original' };
const protectedOne = { name: 'a.jpg', outcome: 'protected' };

describe('a file of the disk in a body is an original: what we hand to pages is in memory', () => {
  const carried = photosInBody({ raw: [{ bytes: new ArrayBuffer(3) }, { file: '/home/me/A photo.JPG' }] }, true);
  test('and raises the alarm', () => {
    expect(isLeak(carried, [])).toBe(true);
    expect(isLeak(carried, [protectedOne])).toBe(true);
  });
  test('unless the person let an original through in this tab', () => {
    expect(isLeak(carried, [original])).toBe(false);
  });
  test('other files are nobody’s concern', () => {
    expect(isLeak(photosInBody({ raw: [{ file: '/home/me/text.pdf' }] }, true), [])).toBe(false);
  });
});

describe('a native form shows names alone', () => {
  const carried = photosInBody({ formData: { photo: ['a.jpg'], title: ['My cat'] } }, true);
  test('one that no hold settled raises the alarm', () => {
    expect(isLeak(carried, [])).toBe(true);
    expect(isLeak(carried, [{ ...protectedOne, name: 'b.jpg' }])).toBe(true);
  });
  test('one that was to be withheld raises the alarm', () => {
    expect(isLeak(carried, [{ name: 'a.jpg', outcome: 'withheld' }])).toBe(true);
  });
  test('one that was protected does not', () => {
    expect(isLeak(carried, [protectedOne])).toBe(false);
  });
  test('a name that a script gave says nothing', () => {
    expect(isLeak(photosInBody({ formData: { photo: ['blob.jpg'] } }, false), [])).toBe(false);
  });
  test('a form without photos does not', () => {
    expect(isLeak(photosInBody({ formData: { title: ['My cat'] } }, true), [])).toBe(false);
  });
});

test('a body that browsers do not show raises none: no alarm is no proof', () => {
  expect(isLeak(photosInBody({ error: 'Unknown error.' }, true), [])).toBe(false);
  expect(isLeak(photosInBody({ raw: [{ bytes: Uint8Array.of(0xff, 0xd8, 0xff).buffer }] }, true), [])).toBe(false);
});
