import { describe, expect, test } from 'vitest';
import { looksLikePhoto, sniffImage } from './sniff-photo';

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const webp = (flags: number): string => `RIFF\0\0\0\0WEBPVP8X\n\0\0\0${String.fromCharCode(flags)}\0\0\0`;
const box = (brands: string): string => `\0\0\0${String.fromCharCode(8 + brands.length)}ftyp${brands}`;

describe('the kind of a file follows from its bytes', () => {
  test.each([
    ['a JPEG', '\xff\xd8\xff\xe0\0\x10JFIF', 'photo'],
    ['a PNG', '\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'photo'],
    ['an animated PNG', '\x89PNG\r\n\x1a\n\0\0\0\rIHDR....\0\0\0\x08acTL', 'animation'],
    ['a GIF', 'GIF89a', 'animation'],
    ['a simple WebP', 'RIFF\0\0\0\0WEBPVP8 ', 'photo'],
    ['an extended WebP with alpha', webp(16), 'photo'],
    ['an animated WebP', webp(2), 'animation'],
    ['an AVIF', box('avif\0\0\0\0avifmif1miaf'), 'photo'],
    ['an AVIF sequence', box('avis\0\0\0\0avifmsf1'), 'animation'],
    ['a HEIC', box('heic\0\0\0\0mif1heic'), 'photo'],
    ['a HEIF by its compatible brands', box('mif1\0\0\0\0mif1heic'), 'photo'],
    ['an MP4', box('isom\0\0\x02\0isomiso2mp41'), 'other'],
    ['an SVG', '<?xml version="1.0"?>\n<!-- drawn --><svg xmlns="x">', 'vector'],
    ['HTML that contains an SVG', '<html><svg></svg>', 'other'],
    ['text', 'hello', 'other'],
    ['nothing', '', 'other'],
  ])('%s', (_, head, kind) => {
    expect(sniffImage(bytes(head))).toBe(kind);
  });
});

test('type or name are enough to look like a photo', () => {
  expect(looksLikePhoto('image/JPEG', '')).toBe(true);
  expect(looksLikePhoto('', 'IMG_1.HEIC')).toBe(true);
  expect(looksLikePhoto('application/octet-stream', 'a.jpg')).toBe(true);
  expect(looksLikePhoto('image/gif', 'a.gif')).toBe(false);
  expect(looksLikePhoto('text/plain', 'a.txt')).toBe(false);
});
