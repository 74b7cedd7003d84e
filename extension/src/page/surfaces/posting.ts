/**
 * A file handle that is posted to a worker is read there, where no script of ours runs. So a handle of a photo that the
 * person gave to this page stays in this page: posting it fails as posting what cannot be cloned does, and the person
 * is told. Handles of the site's own storage, and those that it kept from an earlier visit, are not known here.
 */
import { looksLikePhoto } from '../../photos';
import type { Engine } from '../engine';
import { WeakTable, type Realm } from '../natives';
import { shimMethod } from '../shims';

/** Parts of a message that are looked at: handles are not hidden deeper. */
const MOST = 500;
const POSTERS = ['Worker', 'MessagePort', 'BroadcastChannel', 'ServiceWorker'] as const;

const given = new WeakTable<object, true>();
let any = false;

/** The person gave it to the page: picked or dropped it. */
export function rememberHandle(handle: unknown): void {
  if (typeof handle !== 'object' || handle === null) return;
  any = true; // until then messages are not looked at
  given.set(handle, true);
}

export function guardPosting(engine: Engine, realm: Realm): void {
  shimMethod(realm, 'showOpenFilePicker', (native, self, args) => {
    const asked = Reflect.apply(native, self, args) as Promise<unknown[]>;
    void asked.then(
      (handles) => {
        for (let index = 0; index < handles.length; index += 1) rememberHandle(handles[index]);
      },
      () => undefined,
    );
    return asked;
  });
  for (let index = 0; index < POSTERS.length; index += 1) {
    const kind = realm[POSTERS[index] as 'Worker'] as typeof Worker | undefined;
    shimMethod(kind?.prototype, 'postMessage', (native, self, args) => {
      const name = any && !engine.off ? photoIn(args[0]) : undefined;
      if (name !== undefined) {
        engine.notice('handle', [name]);
        throw new realm.DOMException(
          "Failed to execute 'postMessage': FileSystemFileHandle object could not be cloned.",
          'DataCloneError',
        );
      }
      return Reflect.apply(native, self, args) as unknown;
    });
  }
}

/** The name of a photo whose handle is in a message. */
export function photoIn(message: unknown): string | undefined {
  const queue: unknown[] = [message];
  const seen = new WeakTable<object, true>();
  for (let index = 0; index < queue.length && index < MOST; index += 1) {
    const part = queue[index];
    if (typeof part !== 'object' || part === null || seen.has(part)) continue;
    seen.set(part, true);
    if (given.has(part)) {
      const { name } = part as FileSystemFileHandle;
      if (looksLikePhoto('', name)) return name;
    } else {
      const parts = partsOf(part);
      for (let at = 0; at < parts.length && queue.length < MOST; at += 1) queue[queue.length] = parts[at];
    }
  }
  return undefined;
}

function partsOf(value: object): unknown[] {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof Blob) return [];
  if (value instanceof Map) return [...value.keys(), ...value.values()];
  if (value instanceof Set) return [...value];
  try {
    return Object.values(value);
  } catch {
    return []; // a getter that throws: posting it will fail as well
  }
}
