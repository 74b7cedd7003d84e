/**
 * Pictures on canvases: the page's img-src policy applies to an <img> with a data: or blob: URL, but not to a canvas.
 */
import { unpackBlob } from '../blob-transfer';

/** Decodes a base64 data: URL without `fetch`, to which connect-src applies. */
export function dataUrlToBlob(dataUrl: string): Blob {
  const [head = '', base64 = ''] = dataUrl.split(',', 2);
  return unpackBlob({ base64, type: /^data:([^;,]*)/.exec(head)?.[1] ?? '' });
}

/** A canvas of the picture's own size. Rejects if the browser cannot read the format. */
export async function photoCanvas(picture: Blob): Promise<HTMLCanvasElement> {
  const bitmap = await createImageBitmap(picture);
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext('2d')?.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

/** Draws the middle square of a thumbnail; leaves the canvas empty if there is none. */
export async function drawThumbnail(canvas: HTMLCanvasElement, dataUrl: string): Promise<void> {
  if (dataUrl === '') return;
  try {
    const bitmap = await createImageBitmap(dataUrlToBlob(dataUrl));
    const side = Math.min(bitmap.width, bitmap.height);
    const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
    canvas.getContext('2d')?.drawImage(bitmap, left, top, side, side, 0, 0, canvas.width, canvas.height);
    bitmap.close();
  } catch {
    // stays empty, as for formats that the browser cannot draw
  }
}
