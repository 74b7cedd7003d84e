/** The type that the server is told a photo has: by its bytes, since a site's or a system's word may be wrong. */

/** `head`: the first 12 bytes of it. */
export function mediaType(head: Uint8Array): string {
  const latin = String.fromCharCode(...head.subarray(0, 12));
  if (latin.startsWith('\x89PNG')) return 'image/png';
  if (latin.startsWith('RIFF')) return 'image/webp';
  if (latin.slice(4, 8) === 'ftyp') return /^avi[fs]/.test(latin.slice(8)) ? 'image/avif' : 'image/heic';
  return 'image/jpeg';
}
