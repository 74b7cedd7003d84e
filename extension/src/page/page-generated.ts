/**
 * Allows photos that are not the user's: canvases of the page and images from its server. Responses count only if they
 * came by http(s): `blob:` and `data:` URLs return what the page put in, which is checked by content like the rest.
 */
import { looksLikePhoto } from '../sniff-photo';
import type { Engine } from './engine';
import { fingerprint } from './fingerprint';
import { apply, isBlob, sizeOf, typeOf, type Realm } from './primordials';
import { shimConstructor, shimGetter, shimMethod } from './shims';

const HTTP = /^https?:/i;

export function allowPageGenerated(engine: Engine, realm: Realm): void {
  const { allowedBytes: allowedBytes } = engine;

  shimMethod<Blob>(realm.Blob.prototype, 'slice', (native, self, args) => {
    const part = apply(native, self, args) as Blob;
    allowedBytes.inherit(part, self);
    return part;
  });
  // A copy inherits from its source. A Blob of several parts is checked by content.
  for (const name of ['Blob', 'File']) {
    shimConstructor(realm, name, (made, args) => {
      const parts = args[0];
      if (Array.isArray(parts) && parts.length === 1 && isBlob(parts[0])) allowedBytes.inherit(made as Blob, parts[0]);
    });
  }

  shimMethod(realm.HTMLCanvasElement.prototype, 'toBlob', (native, self, args) => {
    const [callback, ...rest] = args;
    if (engine.isOff || typeof callback !== 'function') return apply(native, self, args);
    const give = (drawn: Blob | null): void => {
      if (drawn !== null) allowedBytes.addPageMade(drawn);
      apply(callback as (blob: Blob | null) => void, undefined, [drawn]);
    };
    return apply(native, self, [give, ...rest]);
  });
  shimMethod(realm.HTMLCanvasElement.prototype, 'toDataURL', (native, self, args) => {
    const url = apply(native, self, args) as string;
    if (!engine.isOff) allowedBytes.addDrawing(url);
    return url;
  });
  shimMethod(realm.OffscreenCanvas?.prototype, 'convertToBlob', async (native, self, args) => {
    const drawn = (await apply(native, self, args)) as Blob;
    allowedBytes.addPageMade(drawn);
    return drawn;
  });

  shimMethod<Response>(realm.Response.prototype, 'blob', (native, self, args) => {
    const result = apply(native, self, args) as Promise<Blob>;
    if (engine.isOff || !isServed(self)) return result;
    return (async () => {
      const blob = await result;
      allowedBytes.addPageMade(blob);
      return blob;
    })();
  });
  for (const name of ['arrayBuffer', 'bytes']) {
    shimMethod<Response>(realm.Response.prototype, name, (native, self, args) => {
      const result = apply(native, self, args) as Promise<ArrayBuffer | Uint8Array>;
      if (engine.isOff || !isServed(self) || !looksLikePhoto(typeOfResponse(self), '')) return result;
      return (async () => {
        const bytes = await result;
        allowedBytes.allowFingerprint(fingerprint(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes)));
        return bytes;
      })();
    });
  }
  shimGetter<XMLHttpRequest>(realm.XMLHttpRequest.prototype, 'response', (value, self) => {
    if (
      !engine.isOff &&
      isBlob(value) &&
      sizeOf(value) > 0 &&
      HTTP.test(self.responseURL) &&
      !allowedBytes.allows(value)
    ) {
      if (looksLikePhoto(typeOf(value), '')) allowedBytes.addPageMade(value);
    }
    return value;
  });
}

function isServed(response: Response): boolean {
  try {
    return HTTP.test(response.url);
  } catch {
    return false; // not a Response: the browser throws
  }
}

function typeOfResponse(response: Response): string {
  return (response.headers.get('content-type') ?? '').split(';', 1)[0] as string;
}
