/** Bytes on their way between the parts of the extension: a Blob where the browser clones it, base64 where not. */
import { ask } from './ask';
import { bytesOf } from './bytes';
import type { Payload } from './messages';
import { blob, object, or, text, type Shape } from './shape';

export const payload: Shape<Payload> = or(blob, object({ base64: text(2 ** 26), type: text(100) }));

/** Bytes that fit, as base64, into a message of 64 MiB. */
export const MOST_AS_BASE64 = 48_000_000;

let cloning: Promise<boolean> | null = null;

/** Whether Blobs may be sent: Chromium before 148 would deliver `{}` in their place. */
export function clones(): Promise<boolean> {
  cloning ??= ask('clones', { probe: new Blob(['?']) }).then((reply) => {
    if (!reply.ok) cloning = null; // asked again next time
    return reply.ok && reply.value.clones;
  });
  return cloning;
}

/** undefined: too large for this browser's messages. */
export async function pack(bytes: Blob, base64: boolean): Promise<Payload | undefined> {
  if (!base64) return bytes;
  if (bytes.size > MOST_AS_BASE64) return undefined;
  return { base64: await base64Of(bytes), type: bytes.type };
}

export function unpack(sent: Payload): Blob {
  if (!('base64' in sent)) return sent;
  const letters = atob(sent.base64);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = letters.charCodeAt(at);
  return new Blob([bytes], { type: sent.type });
}

export async function dataUrl(bytes: Blob): Promise<string> {
  return `data:${bytes.type};base64,${await base64Of(bytes)}`;
}

/** Bytes that become letters at once: more would not fit into the arguments of a call. Three make four letters. */
const STRIDE = 3 * 8192;

async function base64Of(bytes: Blob): Promise<string> {
  const all = await bytesOf(bytes);
  const parts: string[] = [];
  for (let at = 0; at < all.length; at += STRIDE) {
    parts.push(btoa(String.fromCharCode(...all.subarray(at, at + STRIDE))));
  }
  return parts.join('');
}
