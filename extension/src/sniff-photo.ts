/** What is a photo, told by its first bytes: names and types are what a site or a system says, and may be wrong. */

export type ImageKind = 'photo' | 'vector' | 'animation' | 'other';

/** Bytes that `sniff` wants to see. */
export const SNIFF_BYTES = 4096;

const PHOTO_TYPES = new Set([
  'image/jpeg',
  'image/jpg',
  'image/pjpeg',
  'image/png',
  'image/webp',
  'image/avif',
  'image/heic',
  'image/heif',
]);
const PHOTO_NAMES = /\.(jpe?g|jfif|pjpeg|png|webp|avif|heic|heif|hif)$/i;

/** What type and name promise, at once: whether an event that carries this must be held until its bytes are read. */
export function looksLikePhoto(type: string, name: string): boolean {
  return PHOTO_TYPES.has(type.toLowerCase()) || PHOTO_NAMES.test(name);
}

/** What the bytes are. `head`: the first HEAD of them, or all. */
export function sniffImage(head: Uint8Array): ImageKind {
  const text = (start: number, length: number): string => String.fromCharCode(...head.subarray(start, start + length));
  if (head[0] === 0xff && head[1] === 0xd8 && head[2] === 0xff) return 'photo';
  if (text(0, 8) === '\x89PNG\r\n\x1a\n') return text(0, SNIFF_BYTES).includes('acTL') ? 'animation' : 'photo';
  if (text(0, 4) === 'GIF8') return 'animation';
  if (text(0, 4) === 'RIFF' && text(8, 4) === 'WEBP') {
    return text(12, 4) === 'VP8X' && ((head[20] ?? 0) & 2) !== 0 ? 'animation' : 'photo';
  }
  if (text(4, 4) === 'ftyp') {
    const length = Math.min(((head[2] ?? 0) << 8) | (head[3] ?? 0), 256);
    const brands = text(8, Math.max(4, length - 8));
    if (/^(avis|hevc|hevx|msf1)/.test(brands)) return 'animation';
    return /avif|heic|heix|heim|heis|mif1/.test(brands) ? 'photo' : 'other';
  }
  return /^(\uFEFF|\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--[\s\S]*?-->\s*)*(<!doctype svg[\s\S]*?>\s*)?<svg[\s>]/i.test(
    text(0, SNIFF_BYTES),
  )
    ? 'vector'
    : 'other';
}
