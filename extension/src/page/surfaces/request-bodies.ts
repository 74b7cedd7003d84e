/**
 * Finds photos in request bodies and replaces them by protected ones: the safety net for photos that came through no
 * other surface (made by a worker, restored by the browser). Text and streams are not searched: their content came
 * through another surface.
 */
import { SNIFF_BYTES, sniffImage } from '../../sniff-photo';
import type { Engine, Outcome } from '../engine';
import { isOtherImage, mayBePhoto } from '../files';
import { fingerprint } from '../fingerprint';
import { apply, isBlob, isFile, method, nameOf, newBlob, typeOf } from '../primordials';

type FormEntry = [string, FormDataEntryValue];

const entriesOf = method(FormData.prototype, 'entries');
const appendFile = method(FormData.prototype, 'append') as (form: FormData, ...args: unknown[]) => void;
const isView = ArrayBuffer.isView.bind(ArrayBuffer);
const bufferLength = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'byteLength')?.get;

/** A body that may be sent; null: nothing may be sent. */
type SettledBody = { body: unknown } | null;

export class RequestBodies {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Whether the body may be sent unchanged. Synchronous, as most bodies may. */
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
    // Delays only what may be a photo: a site can notice that a request is late.
    return (
      !mayBePhoto(blob) &&
      !/octet-stream$/i.test(typeOf(blob)) &&
      !(this.#engine.refusesOtherImages && isOtherImage(blob))
    );
  }

  #isUnknownPhoto(bytes: Uint8Array): boolean {
    return (
      sniffImage(bytes.subarray(0, SNIFF_BYTES)) === 'photo' &&
      !this.#engine.allowedBytes.isAllowedNow(fingerprint(bytes))
    );
  }

  /** Replaces photos in the body by protected ones. Call `drop` if the result is no longer needed. */
  settle(body: unknown): { settled: Promise<SettledBody>; drop: () => void } {
    if (isBlob(body)) return this.#settleAll([body], ([outcome]) => ({ body: outcome }));
    const bytes = asBytes(body);
    if (bytes !== null) {
      // Copied, because the site may change its buffer while we wait.
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
    // not a buffer
  }
  return null;
}

function asEntries(body: unknown): FormEntry[] | null {
  try {
    return [...entriesOf(body as FormData)];
  } catch {
    return null; // not FormData
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
