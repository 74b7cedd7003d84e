/** Under which name a protected photo is saved. */

const FILE_EXTENSIONS: Record<string, string[]> = {
  'image/jpeg': ['jpg', 'jpeg', 'jfif'],
  'image/png': ['png'],
  'image/webp': ['webp'],
  'image/avif': ['avif'],
  'image/heic': ['heic', 'heif'],
  'image/heif': ['heif', 'heic'],
  'image/tiff': ['tif', 'tiff'],
};

/** "me.jpg" -> "me.protected.jpg"; the ending is that of the format, which the server may have had to change. */
export function savedName(name: string, type: string): string {
  const point = name.lastIndexOf('.');
  const [stem, ending] = point > 0 ? [name.slice(0, point), name.slice(point + 1)] : [name, ''];
  const endings = FILE_EXTENSIONS[type] ?? [ending || 'jpg'];
  const kept = endings.includes(ending.toLowerCase()) ? ending : (endings[0] ?? 'jpg');
  return `${stem || 'photo'}.protected.${kept}`;
}
