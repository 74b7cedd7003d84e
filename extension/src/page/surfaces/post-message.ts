/**
 * `postMessage` of a file handle: a worker could read the photo, where our scripts do not run. Posting the handle
 * of a photo that the user gave to this page throws a DataCloneError, and the user is notified. Not covered: handles of the
 * site's own storage and handles it kept from an earlier visit.
 */
import { looksLikePhoto } from '../../sniff-photo';
import type { Engine } from '../engine';
import { SafeWeakMap, type Realm } from '../primordials';
import { shimMethod } from '../shims';

/** Parts of a message that are searched. */
const MAX_PARTS = 500;
const TARGETS = ['Worker', 'MessagePort', 'BroadcastChannel', 'ServiceWorker'] as const;

const givenHandles = new SafeWeakMap<object, true>();
let anyGiven = false;

/** Marks a handle that the user picked or dropped. */
export function rememberHandle(handle: unknown): void {
  if (typeof handle !== 'object' || handle === null) return;
  anyGiven = true; // messages are searched only after this
  givenHandles.set(handle, true);
}

export function guardPostMessage(engine: Engine, realm: Realm): void {
  shimMethod(realm, 'showOpenFilePicker', (native, self, args) => {
    const result = Reflect.apply(native, self, args) as Promise<unknown[]>;
    void result.then(
      (handles) => {
        for (let index = 0; index < handles.length; index += 1) rememberHandle(handles[index]);
      },
      () => undefined,
    );
    return result;
  });
  for (let index = 0; index < TARGETS.length; index += 1) {
    const kind = realm[TARGETS[index] as 'Worker'] as typeof Worker | undefined;
    shimMethod(kind?.prototype, 'postMessage', (native, self, args) => {
      const name = anyGiven && !engine.isOff ? photoHandleIn(args[0]) : undefined;
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

/** Name of a photo whose handle is in a message. */
export function photoHandleIn(message: unknown): string | undefined {
  const queue: unknown[] = [message];
  const seen = new SafeWeakMap<object, true>();
  for (let index = 0; index < queue.length && index < MAX_PARTS; index += 1) {
    const part = queue[index];
    if (typeof part !== 'object' || part === null || seen.has(part)) continue;
    seen.set(part, true);
    if (givenHandles.has(part)) {
      const { name } = part as FileSystemFileHandle;
      if (looksLikePhoto('', name)) return name;
    } else {
      const parts = partsOf(part);
      for (let at = 0; at < parts.length && queue.length < MAX_PARTS; at += 1) queue[queue.length] = parts[at];
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
    return []; // a throwing getter: posting it fails too
  }
}
