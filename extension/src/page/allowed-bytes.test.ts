// @vitest-environment happy-dom
import { describe, expect, it } from 'vitest';
import { AllowedBytes } from './allowed-bytes';
import { fingerprint } from './fingerprint';

const photo = (seed: number, length = 9000): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length }, (_, at) => (at * seed) & 255);
const fileOf = (bytes: Uint8Array<ArrayBuffer>): File => new File([bytes], 'a.jpg', { type: 'image/jpeg' });

describe('AllowedBytes', () => {
  it('allows a protected photo immediately, and later any object with its content', async () => {
    const allowedBytes = new AllowedBytes();
    const file = fileOf(photo(3));
    allowedBytes.addProtected(file);
    expect(allowedBytes.allows(file)).toBe(true);
    expect(allowedBytes.allows(fileOf(photo(3)))).toBe(false);
    expect(await allowedBytes.isProtected(fingerprint(photo(3)))).toBe(true);
    expect(await allowedBytes.isProtected(fingerprint(photo(5)))).toBe(false);
  });

  it('allows a part of what is allowed, and a part of a part', () => {
    const allowedBytes = new AllowedBytes();
    const file = fileOf(photo(3));
    const part = file.slice(10, 5000);
    const smaller = part.slice(0, 10);
    allowedBytes.inherit(part, file);
    allowedBytes.inherit(smaller, part);
    expect(allowedBytes.allows(smaller)).toBe(false);
    allowedBytes.addProtected(file);
    expect(allowedBytes.allows(part)).toBe(true);
    expect(allowedBytes.allows(smaller)).toBe(true);
  });

  it('allows the beginning of what the page may send', async () => {
    const allowedBytes = new AllowedBytes();
    allowedBytes.addProtected(fileOf(photo(3, 50_000)));
    expect(await allowedBytes.isAllowed(fingerprint(photo(3, 50_000).subarray(0, 20_000)))).toBe(true);
    expect(await allowedBytes.isAllowed(fingerprint(photo(5, 50_000).subarray(0, 20_000)))).toBe(false);
  });

  it('holds a released or page-made photo again if the user brings it in', async () => {
    const allowedBytes = new AllowedBytes();
    allowedBytes.addReleased(fileOf(photo(3)), fingerprint(photo(3)));
    allowedBytes.addPageMade(fileOf(photo(5)));
    for (const seed of [3, 5]) {
      expect(await allowedBytes.isAllowed(fingerprint(photo(seed)))).toBe(true);
      expect(await allowedBytes.isProtected(fingerprint(photo(seed)))).toBe(false);
    }
  });

  it('allows a canvas that the page read as text', () => {
    const allowedBytes = new AllowedBytes();
    allowedBytes.addDrawing(`data:image/png;base64,${btoa(String.fromCharCode(...photo(7, 500)))}`);
    expect(allowedBytes.isAllowedNow(fingerprint(photo(7, 500)))).toBe(true);
  });

  it('keeps only the latest protected photos', () => {
    const allowedBytes = new AllowedBytes();
    const prints = Array.from({ length: 70 }, (_, at) => fingerprint(photo(at + 1, 64)));
    for (const print of prints) allowedBytes.rememberProtected(print, new Blob(['x']));
    expect(allowedBytes.protectedFor(prints[0] as (typeof prints)[0])).toBeUndefined();
    expect(allowedBytes.protectedFor(prints[69] as (typeof prints)[0])).toBeDefined();
  });
});
