/** Small pictures for display. They are never uploaded. */
import { toDataUrl } from './blob-transfer';

/** Longest edge in pixels. */
export const THUMBNAIL_EDGE = 160;
export const PREVIEW_EDGE = 1024;

/** Draws a picture once per edge length and returns data: URLs, "" where the browser cannot draw the format. */
export async function drawPreviews<const Edges extends readonly number[]>(
  bytes: Blob,
  edges: Edges,
): Promise<{ [At in keyof Edges]: string }> {
  const none = edges.map(() => '') as { [At in keyof Edges]: string };
  try {
    const picture = await createImageBitmap(bytes);
    const drawn = await Promise.all(edges.map((edge) => drawPreview(picture, edge)));
    picture.close();
    return drawn as { [At in keyof Edges]: string };
  } catch {
    return none;
  }
}

async function drawPreview(picture: ImageBitmap, edge: number): Promise<string> {
  const scale = Math.min(1, edge / Math.max(picture.width, picture.height));
  const size = (length: number): number => Math.max(1, Math.round(length * scale));
  const canvas = new OffscreenCanvas(size(picture.width), size(picture.height));
  const pen = canvas.getContext('2d');
  if (pen === null) return '';
  pen.imageSmoothingQuality = 'high';
  pen.fillStyle = 'white'; // JPEG has no transparency
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return toDataUrl(await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.85 }));
}
