/**
 * Primordials: the browser's functions, captured before any script of the site can replace them. The engine shares its
 * world with the site, so everything that handles an original photo must use these.
 */

export const apply = Reflect.apply;
export const defineProperty = Reflect.defineProperty;
export const descriptorOf = Reflect.getOwnPropertyDescriptor;

/** A window with its constructors: each frame has its own. */
export type Realm = Window & typeof globalThis;

// Only `any` accepts functions of every parameter list.
type Callable = (...args: any[]) => any;

type Free<Self, F> = F extends (...args: infer A) => infer R ? (self: Self, ...args: A) => R : never;

/** `proto[name]` as a function that takes `this` as its first argument. A missing method throws when it is called. */
export function method<Self extends object, Name extends keyof Self>(
  proto: Self | undefined,
  name: Name,
): Free<Self, Self[Name]> {
  const found = proto?.[name] as Callable | undefined;
  const free: Callable = (self: Self, ...args: unknown[]) => {
    if (found === undefined) throw new TypeError(`${String(name)} is not available`);
    return apply(found, self, args) as unknown;
  };
  return free as Free<Self, Self[Name]>;
}

export function getter<Self extends object, Name extends keyof Self>(
  proto: Self | undefined,
  name: Name,
): (self: Self) => Self[Name] {
  const found = proto === undefined ? undefined : descriptorOf(proto, name)?.get;
  // Without an accessor it is a plain property, or missing.
  return (self) => (found === undefined ? self[name] : (apply(found, self, []) as Self[Name]));
}

function setter<Self extends object, Name extends keyof Self>(
  proto: Self | undefined,
  name: Name,
): (self: Self, value: Self[Name]) => void {
  const found = proto === undefined ? undefined : descriptorOf(proto, name)?.set;
  return (self, value) => {
    if (found === undefined) self[name] = value;
    else apply(found, self, [value]);
  };
}

/** `undefined` where this browser lacks the interface. */
function prototypeOf<Name extends keyof Realm>(
  realm: Realm,
  name: Name,
): Realm[Name] extends { prototype: infer P } ? P | undefined : never {
  const found = realm[name] as { prototype?: unknown } | undefined;
  return found?.prototype as Realm[Name] extends { prototype: infer P } ? P | undefined : never;
}

// ---------------------------------------------------------------- collections whose methods a site cannot replace

const mapGet = Map.prototype.get;
const mapSet = Map.prototype.set;
const mapDelete = Map.prototype.delete;
const mapKeys = Map.prototype.keys;
const mapNext = (new Map().keys() as Iterator<unknown>).next;

export class SafeMap<Key, Value> {
  readonly #map = new Map<Key, Value>();

  get(key: Key): Value | undefined {
    return apply(mapGet, this.#map, [key]) as Value | undefined;
  }
  has(key: Key): boolean {
    return this.get(key) !== undefined;
  }
  set(key: Key, value: Value): void {
    apply(mapSet, this.#map, [key, value]);
  }
  delete(key: Key): void {
    apply(mapDelete, this.#map, [key]);
  }
  /** Oldest first. */
  keys(): Key[] {
    const keys: Key[] = [];
    const iterator = apply(mapKeys, this.#map, []) as Iterator<Key>;
    for (;;) {
      const { done, value } = apply(mapNext, iterator, []) as IteratorResult<Key>;
      if (done === true) return keys;
      keys[keys.length] = value as Key;
    }
  }
}

const weakGet = WeakMap.prototype.get;
const weakSet = WeakMap.prototype.set;
const weakDelete = WeakMap.prototype.delete;

export class SafeWeakMap<Key extends object, Value> {
  readonly #map = new WeakMap<Key, Value>();

  get(key: Key): Value | undefined {
    return apply(weakGet, this.#map, [key]) as Value | undefined;
  }
  has(key: Key): boolean {
    return this.get(key) !== undefined;
  }
  set(key: Key, value: Value): void {
    apply(weakSet, this.#map, [key, value]);
  }
  delete(key: Key): void {
    apply(weakDelete, this.#map, [key]);
  }
}

// ---------------------------------------------------------------- bytes

export const sliceOf = method(Blob.prototype, 'slice');
const readBuffer = method(Blob.prototype, 'arrayBuffer');
export const sizeOf = getter(Blob.prototype, 'size');
export const typeOf = getter(Blob.prototype, 'type');
const fileName = getter(File.prototype, 'name');
export const lastModifiedOf = getter(File.prototype, 'lastModified');
const createBlob = Blob;
const createFile = File;

export function isBlob(value: unknown): value is Blob {
  if (typeof value !== 'object' || value === null) return false;
  try {
    return typeof sizeOf(value as Blob) === 'number';
  } catch {
    return false; // not a Blob of any frame
  }
}

/** Name of a File, "" for any other Blob. */
export function nameOf(blob: Blob): string {
  try {
    return fileName(blob as File);
  } catch {
    return '';
  }
}

export function isFile(blob: Blob): blob is File {
  try {
    return typeof lastModifiedOf(blob as File) === 'number';
  } catch {
    return false;
  }
}

export async function bytesOf(blob: Blob): Promise<Uint8Array> {
  return new Uint8Array(await readBuffer(blob));
}

export function newBlob(parts: BlobPart[], type: string): Blob {
  return new createBlob(parts, { type });
}

export function newFile(parts: BlobPart[], name: string, type: string, lastModified: number): File {
  return new createFile(parts, name, { type, lastModified });
}

// ---------------------------------------------------------------- events and nodes

export const isTrusted = ((): ((event: Event) => boolean) => {
  // Each event has its own accessor, but all of a frame share one getter function.
  const found = descriptorOf(new Event('x'), 'isTrusted')?.get;
  return (event) => {
    if (found === undefined) return event.isTrusted;
    return apply(found, event, []) as boolean;
  };
})();
export const typeOfEvent = getter(Event.prototype, 'type');
export const targetOf = getter(Event.prototype, 'target');
export const pathOf = method(Event.prototype, 'composedPath');
export const stopImmediatePropagation = method(Event.prototype, 'stopImmediatePropagation');
export const preventDefault = method(Event.prototype, 'preventDefault');
export const dispatch = method(EventTarget.prototype, 'dispatchEvent');
const nativeListen = EventTarget.prototype.addEventListener;

/** Adds a listener in the capture phase. Idempotent. */
export function listen(target: EventTarget, type: string, listener: (event: Event) => void): void {
  apply(nativeListen, target, [type, listener, true]);
}

const nodeName = getter(Node.prototype, 'nodeName');
const nodeType = getter(Node.prototype, 'nodeType');
export const rootOf = method(Node.prototype, 'getRootNode');
const ownerOf = getter(Node.prototype, 'ownerDocument');
export const isConnected = getter(Node.prototype, 'isConnected');
const viewOf = getter(Document.prototype, 'defaultView');
const hostOfRoot = getter(prototypeOf(window, 'ShadowRoot'), 'host');

export const filesOf = getter(HTMLInputElement.prototype, 'files');
export const setFiles = setter(HTMLInputElement.prototype, 'files');
export const setValue = setter(HTMLInputElement.prototype, 'value');
const inputType = getter(HTMLInputElement.prototype, 'type');
export const formOf = getter(HTMLInputElement.prototype, 'form');
export const isRequired = getter(HTMLInputElement.prototype, 'required');
export const setRequired = setter(HTMLInputElement.prototype, 'required');

export function isNode(value: unknown): value is Node {
  if (typeof value !== 'object' || value === null) return false;
  try {
    return typeof nodeType(value as Node) === 'number';
  } catch {
    return false;
  }
}

export function isElement(value: unknown): value is HTMLElement {
  return isNode(value) && nodeType(value) === 1;
}

export function isFileInput(value: unknown): value is HTMLInputElement {
  if (!isElement(value) || nodeName(value) !== 'INPUT') return false;
  try {
    return inputType(value as HTMLInputElement) === 'file';
  } catch {
    return false; // an <input> of another namespace
  }
}

export function isForm(value: unknown): value is HTMLFormElement {
  return isElement(value) && nodeName(value) === 'FORM';
}

export function isShadowRoot(value: unknown): value is ShadowRoot {
  if (!isNode(value) || nodeType(value) !== 11) return false;
  try {
    return typeof hostOfRoot(value as ShadowRoot) === 'object';
  } catch {
    return false; // a fragment
  }
}

export function isDocument(value: unknown): value is Document {
  return isNode(value) && nodeType(value) === 9;
}

/** Window that the node belongs to; ours for a document without a window. */
export function realmOf(node: Node): Realm {
  const owner = isDocument(node) ? node : ownerOf(node);
  return ((owner === null ? null : viewOf(owner)) ?? window) as Realm;
}

const lengthOf = getter(FileList.prototype, 'length');
const fileAt = method(FileList.prototype, 'item');

export function filesInList(files: FileList | null): File[] {
  const list: File[] = [];
  if (files === null) return list;
  for (let index = 0; index < lengthOf(files); index += 1) {
    const file = fileAt(files, index);
    if (file !== null) list[list.length] = file;
  }
  return list;
}

// ---------------------------------------------------------------- time and messages

const nativeSetTimeout = window.setTimeout;
const nativeClearTimeout = window.clearTimeout;

export function setTimer(milliseconds: number, run: () => void): () => void {
  const timer = apply(nativeSetTimeout, window, [run, milliseconds]) as number;
  return () => {
    apply(nativeClearTimeout, window, [timer]);
  };
}

export const postToPort = method(MessagePort.prototype, 'postMessage') as (port: MessagePort, message: unknown) => void;
const setOnMessage = setter(MessagePort.prototype, 'onmessage');
export function onPortMessage(port: MessagePort, listener: (event: MessageEvent) => void): void {
  setOnMessage(port, listener);
}
const listenToPort = method(MessagePort.prototype, 'addEventListener') as (
  port: MessagePort,
  type: string,
  listener: () => void,
) => void;
/** Not every browser reports that the other end is gone. */
export function onPortClose(port: MessagePort, run: () => void): void {
  listenToPort(port, 'close', run);
}
export const messageData = getter(MessageEvent.prototype, 'data') as (event: MessageEvent) => unknown;
