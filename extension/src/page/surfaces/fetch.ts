/**
 * The safety net: photos that no surface saw (a worker's, the browser's restored form) are held before they leave, in
 * whatever body they are. Text is not searched, and a stream is not read: what they are made of came by a surface.
 */
import { SNIFF_BYTES, sniffImage } from '../../sniff-photo';
import type { Engine, Outcome } from '../engine';
import { isOtherImage, mayBePhoto } from '../files';
import { fingerprint } from '../fingerprint';
import { apply, isBlob, isFile, method, nameOf, newBlob, typeOf, SafeWeakMap, type Realm } from '../primordials';
import { shimConstructor, shimMethod } from '../shims';

type FormEntry = [string, FormDataEntryValue];

const entriesOf = method(FormData.prototype, 'entries');
const appendFile = method(FormData.prototype, 'append') as (form: FormData, ...args: unknown[]) => void;
const isView = ArrayBuffer.isView.bind(ArrayBuffer);
const bufferLength = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'byteLength')?.get;

/** A body that may leave, or null: it may not. */
type SettledBody = { body: unknown } | null;

export class RequestBodies {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Whether it may leave as it is, told at once; most bodies may. */
  isClear(body: unknown): boolean {
    if (this.#engine.isOff || typeof body !== 'object' || body === null) return true;
    if (isBlob(body)) return this.#isClearBlob(body);
    const bytes = asBytes(body);
    if (bytes !== null) return !this.#isUnknownPhoto(bytes);
    const entries = asEntries(body);
    return entries === null || !entries.some(([, value]) => isBlob(value) && !this.#isClearBlob(value));
  }

  #isClearBlob(blob: Blob): boolean {
    if (this.#engine.allowedBytes.allows(blob)) return true;
    // A request that goes out late is a change for the site: only for what can be a photo at all.
    return (
      !mayBePhoto(blob) &&
      !/octet-stream$/i.test(typeOf(blob)) &&
      !(this.#engine.refusesOtherImages && isOtherImage(blob))
    );
  }

  #isUnknownPhoto(bytes: Uint8Array): boolean {
    return (
      sniffImage(bytes.subarray(0, SNIFF_BYTES)) === 'photo' &&
      !this.#engine.allowedBytes.maySendNow(fingerprint(bytes))
    );
  }

  /** The body with protected photos in it. `drop` is how to say that nobody waits any more. */
  settle(body: unknown): { settled: Promise<SettledBody>; drop: () => void } {
    if (isBlob(body)) return this.#settleAll([body], ([outcome]) => ({ body: outcome }));
    const bytes = asBytes(body);
    if (bytes !== null) {
      // A copy: the site may write into its buffer while we wait.
      return this.#settleAll([newBlob([bytes.slice()], '')], ([outcome]) => ({ body: outcome }));
    }
    const entries = asEntries(body) ?? [];
    const blobs = entries.flatMap(([, value]) => (isBlob(value) ? [value] : []));
    return this.#settleAll(blobs, (outcomes) => ({ body: formOf(entries, outcomes) }));
  }

  #settleAll(
    blobs: Blob[],
    build: (outcomes: Blob[]) => SettledBody,
  ): { settled: Promise<SettledBody>; drop: () => void } {
    const { outcomes, drop } = this.#engine.settle('network', blobs);
    const settled = outcomes
      .catch((): Outcome[] => [null])
      .then((all) => {
        const given: Blob[] = [];
        for (const outcome of all) {
          if (outcome === null) return null;
          given.push(outcome);
        }
        return build(given);
      });
    return { settled, drop };
  }
}

function asBytes(body: unknown): Uint8Array | null {
  if (isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  try {
    if (bufferLength !== undefined) {
      apply(bufferLength, body, []);
      return new Uint8Array(body as ArrayBuffer);
    }
  } catch {
    // no buffer
  }
  return null;
}

function asEntries(body: unknown): FormEntry[] | null {
  try {
    return [...entriesOf(body as FormData)];
  } catch {
    return null; // no form data
  }
}

function formOf(entries: FormEntry[], outcomes: Blob[]): FormData {
  const form = new FormData();
  let next = 0;
  for (const [name, value] of entries) {
    if (!isBlob(value)) appendFile(form, name, value);
    else {
      const outcome = outcomes[next++] as Blob;
      if (isFile(outcome)) appendFile(form, name, outcome);
      else appendFile(form, name, outcome, nameOf(value));
    }
  }
  return form;
}

// ---------------------------------------------------------------- fetch and Request

const INIT = [
  'method',
  'headers',
  'mode',
  'credentials',
  'cache',
  'redirect',
  'referrer',
  'referrerPolicy',
  'integrity',
  'keepalive',
  'signal',
  'priority',
  'duplex',
  'window',
  'attributionReporting',
] as const;

export function guardFetch(bodies: RequestBodies, realm: Realm): void {
  /** What a Request was made of: its own body can be read but once. */
  const bodyOfRequest = new SafeWeakMap<object, object>();
  const remember = (request: object, from: unknown, init: unknown): void => {
    const body = bodyGiven(init) ?? (isObject(from) ? bodyOfRequest.get(from) : undefined);
    if (isObject(body)) bodyOfRequest.set(request, body);
  };
  const NativeRequest = realm.Request;
  shimConstructor(realm, 'Request', (made, [from, init]) => {
    remember(made, from, init);
  });
  shimMethod<Request>(NativeRequest.prototype, 'clone', (native, self, args) => {
    const copy = apply(native, self, args) as Request;
    remember(copy, self, undefined);
    return copy;
  });

  shimMethod(realm, 'fetch', (native, self, args) => {
    const [input, init] = args;
    const body = bodyGiven(init) ?? (isObject(input) ? bodyOfRequest.get(input) : undefined);
    return bodies.isClear(body) ? apply(native, self, args) : held(native, self, input, init, body);
  });

  async function held(
    native: (...args: never[]) => unknown,
    self: unknown,
    input: unknown,
    init: unknown,
    body: unknown,
  ): Promise<unknown> {
    const signal = (get(init, 'signal') ?? get(input, 'signal')) as AbortSignal | undefined;
    const { settled, drop } = bodies.settle(body);
    const aborted = new Promise<void>((resolve) => {
      if (signal?.aborted === true) resolve();
      signal?.addEventListener?.('abort', () => {
        resolve();
      });
    });
    const outcome = await Promise.race([settled, aborted]);
    if (outcome === undefined) {
      drop();
      throw signal?.reason;
    }
    if (outcome === null) throw new realm.TypeError('Failed to fetch');
    return apply(native, self, again(input, init, outcome.body));
  }

  function again(input: unknown, init: unknown, body: unknown): [unknown, unknown] {
    const next: Record<string, unknown> = {};
    for (const name of INIT) {
      const value = get(init, name);
      if (value !== undefined) next[name] = value;
    }
    if (isObject(input) && bodyOfRequest.has(input) && next['headers'] === undefined) {
      // The type that the first body gave it names the boundary of that body.
      const headers = new realm.Headers((input as Request).headers);
      if (/^multipart\/form-data/i.test(headers.get('content-type') ?? '')) headers.delete('content-type');
      next['headers'] = headers;
    }
    next['body'] = body;
    return [input, next];
  }
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

function get(from: unknown, name: string): unknown {
  return isObject(from) ? (from as Record<string, unknown>)[name] : undefined;
}

function bodyGiven(init: unknown): unknown {
  const body = get(init, 'body');
  return body === null ? undefined : body;
}

// ---------------------------------------------------------------- sendBeacon

/** It says at once whether it was queued; a photo nobody saw is queued here, and lost if the page goes first. */
export function guardBeacon(bodies: RequestBodies, realm: Realm): void {
  shimMethod(realm.Navigator.prototype, 'sendBeacon', (native, self, args) => {
    const [address, body] = args;
    if (bodies.isClear(body)) return apply(native, self, args);
    void bodies.settle(body).settled.then((outcome) => {
      if (outcome !== null) apply(native, self, [address, outcome.body]);
    });
    return true;
  });
}
