/** File name of a saved protected photo. */
import { PHOTO_FORMATS } from '../photo-formats';

/** "me.jpg" -> "me.protected.jpg". The extension follows the format, which the server may have changed. */
export function savedName(name: string, type: string): string {
  const point = name.lastIndexOf('.');
  const [stem, extension] = point > 0 ? [name.slice(0, point), name.slice(point + 1)] : [name, ''];
  const extensions = PHOTO_FORMATS[type] ?? [extension || 'jpg'];
  const kept = extensions.includes(extension.toLowerCase()) ? extension : (extensions[0] ?? 'jpg');
  return `${stem || 'photo'}.protected.${kept}`;
}
