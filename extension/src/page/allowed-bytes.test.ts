import { describe, expect, it } from 'vitest';
import { fingerprint } from './fingerprint';
import { AllowedBytes } from './allowed-bytes';

const photo = (seed: number, length = 9000): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length }, (_, at) => (at * seed) & 255);
const fileOf = (bytes: Uint8Array<ArrayBuffer>): File => new File([bytes], 'a.jpg', { type: 'image/jpeg' });

describe('Registry', () => {
  it('knows a protected photo by its object at once, and by its content in any other object', async () => {
    const registry = new AllowedBytes();
    const file = fileOf(photo(3));
    registry.addProtected(file);
    expect(registry.allows(file)).toBe(true);
    expect(registry.allows(fileOf(photo(3)))).toBe(false);
    expect(await registry.isProtected(fingerprint(photo(3)))).toBe(true);
    expect(await registry.isProtected(fingerprint(photo(5)))).toBe(false);
  });

  it('lets a part of what may leave go, and a part of a part', () => {
    const registry = new AllowedBytes();
    const file = fileOf(photo(3));
    const part = file.slice(10, 5000);
    const smaller = part.slice(0, 10);
    registry.inherit(part, file);
    registry.inherit(smaller, part);
    expect(registry.allows(smaller)).toBe(false);
    registry.addProtected(file);
    expect(registry.allows(part)).toBe(true);
    expect(registry.allows(smaller)).toBe(true);
  });

  it('lets the page send the beginning of what it may send', async () => {
    const registry = new AllowedBytes();
    registry.addProtected(fileOf(photo(3, 50_000)));
    expect(await registry.maySend(fingerprint(photo(3, 50_000).subarray(0, 20_000)))).toBe(true);
    expect(await registry.maySend(fingerprint(photo(5, 50_000).subarray(0, 20_000)))).toBe(false);
  });

  it('asks again about a photo that the person released or the page drew, when the person brings it in', async () => {
    const registry = new AllowedBytes();
    registry.addReleased(fileOf(photo(3)), fingerprint(photo(3)));
    registry.addPageMade(fileOf(photo(5)));
    for (const seed of [3, 5]) {
      expect(await registry.maySend(fingerprint(photo(seed)))).toBe(true);
      expect(await registry.isProtected(fingerprint(photo(seed)))).toBe(false);
    }
  });

  it('knows a drawing that the page took as text', () => {
    const registry = new AllowedBytes();
    registry.addDrawing(`data:image/png;base64,${btoa(String.fromCharCode(...photo(7, 500)))}`);
    expect(registry.maySendNow(fingerprint(photo(7, 500)))).toBe(true);
  });

  it('keeps the last answers only', () => {
    const registry = new AllowedBytes();
    const prints = Array.from({ length: 70 }, (_, at) => fingerprint(photo(at + 1, 64)));
    for (const print of prints) registry.rememberProtected(print, new Blob(['x']));
    expect(registry.protectedFor(prints[0] as (typeof prints)[0])).toBeUndefined();
    expect(registry.protectedFor(prints[69] as (typeof prints)[0])).toBeDefined();
  });
});
