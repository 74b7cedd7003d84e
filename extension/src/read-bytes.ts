/**
 * Reads a Blob into memory of this script's own realm. A content script in Firefox (153) cannot slice an ArrayBuffer
 * that belongs to the page's realm: "Permission denied to access property constructor".
 */
export async function readBytes(blob: Blob): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(new Uint8Array(await blob.arrayBuffer()));
}
