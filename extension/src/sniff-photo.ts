/** Detects photos by their first bytes: names and media types come from sites and systems, and may be wrong. */
import { PHOTO_EXTENSIONS, PHOTO_FORMATS } from './photo-formats';

/** 'animation' and 'vector' cannot be protected. */
type ImageKind = 'photo' | 'vector' | 'animation' | 'other';

/** Bytes that `sniffImage` needs. */
export const SNIFF_BYTES = 4096;

const TYPES = new Set([...Object.keys(PHOTO_FORMATS), 'image/jpg', 'image/pjpeg']);
const NAMES = new RegExp(`\\.(${PHOTO_EXTENSIONS.join('|')})$`, 'i');
const SVG = /^(\uFEFF|\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--[\s\S]*?-->\s*)*(<!doctype svg[\s\S]*?>\s*)?<svg[\s>]/i;

/** Whether type or name claim a photo: an event that carries such a file is held until its bytes are read. */
export function looksLikePhoto(type: string, name: string): boolean {
  return TYPES.has(type.toLowerCase()) || NAMES.test(name);
}

/** Detects the kind of a file by its content. `head`: its first SNIFF_BYTES, or all of it. */
export function sniffImage(head: Uint8Array): ImageKind {
  if (head[0] === 0xff && head[1] === 0xd8 && head[2] === 0xff) return 'photo';
  if (latin(head, 0, 8) === '\x89PNG\r\n\x1a\n') {
    return latin(head, 0, SNIFF_BYTES).includes('acTL') ? 'animation' : 'photo';
  }
  if (latin(head, 0, 4) === 'GIF8') return 'animation';
  if (latin(head, 0, 4) === 'RIFF' && latin(head, 8, 4) === 'WEBP') {
    return latin(head, 12, 4) === 'VP8X' && ((head[20] ?? 0) & 2) !== 0 ? 'animation' : 'photo';
  }
  if (latin(head, 4, 4) === 'ftyp') {
    const length = Math.min(((head[2] ?? 0) << 8) | (head[3] ?? 0), 256);
    const brands = latin(head, 8, Math.max(4, length - 8));
    if (/^(avis|hevc|hevx|msf1)/.test(brands)) return 'animation';
    return /avif|heic|heix|heim|heis|mif1/.test(brands) ? 'photo' : 'other';
  }
  return SVG.test(latin(head, 0, SNIFF_BYTES)) ? 'vector' : 'other';
}

/** Media type of a photo by its content. `head`: its first 12 bytes. */
export function photoMediaType(head: Uint8Array): string {
  if (latin(head, 0, 4) === '\x89PNG') return 'image/png';
  if (latin(head, 0, 4) === 'RIFF') return 'image/webp';
  if (latin(head, 4, 4) !== 'ftyp') return 'image/jpeg';
  return /^avi[fs]/.test(latin(head, 8, 4)) ? 'image/avif' : 'image/heic';
}

function latin(bytes: Uint8Array, start: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(start, start + length));
}
