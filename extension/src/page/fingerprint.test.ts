import { describe, expect, it } from 'vitest';
import { fingerprint } from './fingerprint';

function noise(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24);
}

describe('fingerprint', () => {
  it('is the same for the same bytes at any offset in a buffer', () => {
    const bytes = noise(10_001, 1);
    const shifted = new Uint8Array(10_004);
    shifted.set(bytes, 3);
    expect(fingerprint(shifted.subarray(3))).toEqual(fingerprint(bytes));
  });

  it('changes with every single byte', () => {
    const bytes = noise(257, 2);
    const keys = new Set([fingerprint(bytes).whole]);
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = bytes.slice();
      changed[at] = (changed[at] as number) ^ 1;
      keys.add(fingerprint(changed).whole);
    }
    expect(keys.size).toBe(258);
  });

  it('differs by length, even for zeros', () => {
    const keys = [0, 1, 2, 3, 4, 5, 4096].map((length) => fingerprint(new Uint8Array(length)).whole);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it.each([
    [4095, 0],
    [4096, 1],
    [16_383, 1],
    [16_384, 2],
    [100_000, 3],
  ])('of %i bytes has %i prefixes', (length, count) => {
    expect(fingerprint(noise(length, 3)).prefixes).toHaveLength(count);
  });

  it('gives a first chunk the same prefixes as the whole', () => {
    const bytes = noise(100_000, 4);
    const chunk = fingerprint(bytes.subarray(0, 20_000));
    expect(fingerprint(bytes).prefixes.slice(0, 2)).toEqual(chunk.prefixes);
  });
});
