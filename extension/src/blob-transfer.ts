/** Sends photos between the parts of the extension: as a Blob where messages can hold one, else as base64. */
import type { BlobPayload } from './messages';
import { readBytes } from './read-bytes';
import { sendRequest } from './send-request';

/** Bytes that fit into a message of 64 MiB as base64. */
export const MAX_BASE64_BYTES = 48_000_000;

let blobSupport: Promise<boolean> | null = null;

/** Whether messages can hold Blobs: Chromium before 148 delivers `{}` instead. */
export function supportsBlobMessages(): Promise<boolean> {
  blobSupport ??= sendRequest('clones', { probe: new Blob(['?']) }).then((reply) => {
    if (!reply.ok) blobSupport = null; // ask again next time
    return reply.ok && reply.value.clones;
  });
  return blobSupport;
}

/** Returns undefined where the photo is too large for this browser's messages. */
export async function packBlob(bytes: Blob, base64: boolean): Promise<BlobPayload | undefined> {
  if (!base64) return bytes;
  if (bytes.size > MAX_BASE64_BYTES) return undefined;
  return { base64: await toBase64(bytes), type: bytes.type };
}

export function unpackBlob(sent: BlobPayload): Blob {
  if (!('base64' in sent)) return sent;
  const letters = atob(sent.base64);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = letters.charCodeAt(at);
  return new Blob([bytes], { type: sent.type });
}

export async function toDataUrl(bytes: Blob): Promise<string> {
  return `data:${bytes.type};base64,${await toBase64(bytes)}`;
}

/** Bytes per `String.fromCharCode` call, whose number of arguments is limited. A multiple of 3, as base64 needs. */
const BASE64_CHUNK = 3 * 8192;

async function toBase64(bytes: Blob): Promise<string> {
  const all = await readBytes(bytes);
  const parts: string[] = [];
  for (let at = 0; at < all.length; at += BASE64_CHUNK) {
    parts.push(btoa(String.fromCharCode(...all.subarray(at, at + BASE64_CHUNK))));
  }
  return parts.join('');
}
