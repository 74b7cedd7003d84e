/**
 * Fingerprint of a photo's content. Object identity is not a key: `FormData.append(key, file, name)` and `new
 * File([file])` create new objects. `crypto.subtle` is missing on pages without TLS; 64 non-cryptographic bits are
 * enough, because only the user's own photos are compared.
 */
export interface Fingerprint {
  whole: string;
  /**
   * Fingerprints of the first 4 KiB, 16 KiB, 64 KiB, ...: the first chunk of an upload is recognised by its longest.
   */
  prefixes: string[];
}

const FIRST_PREFIX = 4096;

const PRIMES = { a: 0x9e3779b1, b: 0x85ebca77 } as const;

function mix(hash: number, length: number): string {
  let value = hash ^ length;
  value = Math.imul(value ^ (value >>> 16), 0x7feb352d);
  value = Math.imul(value ^ (value >>> 15), 0x846ca68b);
  return ((value ^ (value >>> 16)) >>> 0).toString(16).padStart(8, '0');
}

export function fingerprint(bytes: Uint8Array): Fingerprint {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >>> 2);
  const prefixes: string[] = [];
  let a = 0x243f6a88;
  let b = 0x85a308d3;
  let next = FIRST_PREFIX / 4;
  for (let index = 0; index < words.length; index += 1) {
    if (index === next) {
      prefixes[prefixes.length] = keyOf(a, b, index * 4);
      next *= 4;
    }
    const word = words[index] as number;
    a = Math.imul(a ^ word, PRIMES.a);
    a = (a << 15) | (a >>> 17);
    b = Math.imul((b << 13) | (b >>> 19), PRIMES.b) ^ word;
  }
  if (words.length === next) prefixes[prefixes.length] = keyOf(a, b, next * 4);
  for (let index = words.length * 4; index < aligned.length; index += 1) {
    const byte = aligned[index] as number;
    a = Math.imul(a ^ byte, PRIMES.a);
    b = Math.imul(b ^ byte, PRIMES.b);
  }
  return { whole: keyOf(a, b, bytes.length), prefixes };
}

function keyOf(a: number, b: number, length: number): string {
  return `${String(length)}:${mix(a, length)}${mix(b, length)}`;
}
