/**
 * The bytes of a Blob, in memory of the script's own realm. Firefox lets a content script read an ArrayBuffer that the
 * page's realm made, but not slice it: "Permission denied to access property constructor" (measured in 153).
 */
export async function readBytes(blob: Blob): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(new Uint8Array(await blob.arrayBuffer()));
}
