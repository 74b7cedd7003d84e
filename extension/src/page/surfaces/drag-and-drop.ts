/**
 * Drag and drop: stops the drop and replays it with protected photos. Entries and handles of the items are kept for the
 * replay; photos in directories are protected when they are read.
 */
import type { Engine, Outcome } from '../engine';
import type { EventGate } from '../event-gate';
import { addItem, dataTransferWith } from '../files';
import { caretAt, editableAround, insertImages } from '../insert-images';
import {
  apply,
  dispatch,
  filesInList,
  getter,
  isConnected,
  isElement,
  isFile,
  isFileInput,
  method,
  preventDefault,
  realmOf,
  SafeWeakMap,
  setFiles,
  type Realm,
} from '../primordials';
import type { ShadowRoots } from '../shadow-roots';
import { shimMethod } from '../shims';
import type { TrustedEvents } from '../trusted-events';
import { waitUntilReachable } from '../wait-until-reachable';
import { settleFile } from './file-handles';
import { FileSystemEntries } from './file-system-entries';
import { rememberHandle } from './post-message';

const transferOf = getter(DragEvent.prototype, 'dataTransfer');
const transferFiles = getter(DataTransfer.prototype, 'files');
const transferItems = getter(DataTransfer.prototype, 'items');
const typesOf = getter(DataTransfer.prototype, 'types');
const readText = method(DataTransfer.prototype, 'getData');
const itemFile = method(DataTransferItem.prototype, 'getAsFile');
const itemEntry = method(DataTransferItem.prototype, 'webkitGetAsEntry');

type HandleGetter = (this: DataTransferItem) => Promise<unknown>;
const nativeHandle = (DataTransferItem.prototype as { getAsFileSystemHandle?: HandleGetter }).getAsFileSystemHandle;

/** Entry and handle of a dropped item. */
interface ItemSources {
  entry: FileSystemEntry | null;
  handle: Promise<unknown> | null;
}

interface Dropped {
  file: File;
  sources: ItemSources;
}

export class DragAndDrop {
  readonly #engine: Engine;
  readonly #gate: EventGate;
  readonly #trust: TrustedEvents;
  readonly #roots: ShadowRoots;
  readonly #entries: FileSystemEntries;
  /** Keyed by file: each access to an item returns a new object. */
  readonly #sources = new SafeWeakMap<File, ItemSources>();

  constructor(engine: Engine, gate: EventGate, trust: TrustedEvents, roots: ShadowRoots) {
    this.#engine = engine;
    this.#gate = gate;
    this.#trust = trust;
    this.#roots = roots;
    this.#entries = new FileSystemEntries((file) => settleFile(engine, file));
    gate.on(['drop'], (event) => this.#intercept(event as DragEvent));
  }

  install(realm: Realm): void {
    this.#entries.install(realm);
    const prototype = realm.DataTransferItem.prototype;
    const sourcesOf = (item: DataTransferItem): ItemSources | undefined => {
      const file = itemFile(item);
      return file === null ? undefined : this.#sources.get(file);
    };
    shimMethod<DataTransferItem>(prototype, 'webkitGetAsEntry', (native, self, args) => {
      const entry = (apply(native, self, args) ?? sourcesOf(self)?.entry ?? null) as FileSystemEntry | null;
      this.#entries.guard(entry);
      return entry;
    });
    shimMethod<DataTransferItem>(prototype, 'getAsFileSystemHandle', (native, self, args) => {
      const handle = (sourcesOf(self)?.handle ?? apply(native, self, args)) as Promise<FileSystemHandle | null>;
      void handle.then(rememberHandle, () => undefined);
      return handle;
    });
  }

  #intercept(event: DragEvent): boolean {
    const transfer = transferOf(event);
    if (transfer === null) return false;
    const files = filesInList(transferFiles(transfer));
    if (files.length === 0) return false;
    const dropped = this.#readItems(transfer, files);
    if (!dropped.some((each) => each.sources.entry?.isDirectory !== true && this.#engine.mustHold(each.file))) {
      this.#engine.noticeOtherImages(files);
      return false;
    }
    const target = this.#roots.innermostTarget(event, null, (root) =>
      root.elementFromPoint(event.clientX, event.clientY),
    );
    preventDefault(event); // otherwise the browser opens the photo
    void this.#replay(event, target, transfer, dropped);
    return true;
  }

  /** Reads the items. They are empty after the event. */
  #readItems(transfer: DataTransfer, files: File[]): Dropped[] {
    const sources: ItemSources[] = [];
    const items = transferItems(transfer);
    for (let index = 0; index < items.length; index += 1) {
      const item = items[index] as DataTransferItem;
      if (item.kind !== 'file') continue;
      const handle = nativeHandle === undefined ? null : (apply(nativeHandle, item, []) as Promise<unknown>);
      handle?.catch(() => undefined); // the site sees the rejection
      sources[sources.length] = { entry: itemEntry(item), handle };
    }
    return files.map((file, index) => ({ file, sources: sources[index] ?? { entry: null, handle: null } }));
  }

  async #replay(
    event: DragEvent,
    target: EventTarget | null,
    transfer: DataTransfer,
    dropped: Dropped[],
  ): Promise<void> {
    const texts: [string, string][] = [];
    for (const type of typesOf(transfer)) if (type !== 'Files') texts.push([type, readText(transfer, type)]);
    const effect = { effectAllowed: transfer.effectAllowed, dropEffect: transfer.dropEffect };
    const like = mouseInitOf(event);
    // Files in a directory are held when the site reads them.
    const files = dropped.filter((each) => each.sources.entry?.isDirectory !== true);
    const outcomes = await this.#engine
      .settle(
        'drop',
        files.map((each) => each.file),
      )
      .outcomes.catch((): Outcome[] => []);
    if (files.length === dropped.length && outcomes.every((outcome) => outcome === null)) return;
    await waitUntilReachable(() => this.#isOver(target, event));
    const at = this.#nodeAt(target, event);
    const protectedFiles: File[] = [];
    for (let index = 0, next = 0; index < dropped.length; index += 1) {
      const { file, sources: sources } = dropped[index] as Dropped;
      const outcome = sources.entry?.isDirectory === true ? file : (outcomes[next++] ?? null);
      if (outcome === null || !isFile(outcome)) continue;
      protectedFiles.push(outcome);
      this.#sources.set(outcome, sources);
    }
    if (protectedFiles.length === 0) return;
    const second = dataTransferWith(at, protectedFiles);
    for (const [type, text] of texts) addItem(second.items, text, type);
    Object.assign(second, effect);
    const replay = new (realmOf(at).DragEvent)('drop', { ...like, dataTransfer: second });
    this.#gate.markReplay(replay);
    this.#trust.wrapAttributes(this.#roots.eventPathOf(at), 'drop');
    if (dispatch(at, replay)) this.#doDefaultAction(at, protectedFiles, event);
  }

  /** Whether the drop target is not covered. */
  #isOver(target: EventTarget | null, event: DragEvent): boolean {
    if (!isElement(target) || !isConnected(target)) return true;
    const top = target.ownerDocument.elementFromPoint(event.clientX, event.clientY);
    return (
      top !== null &&
      this.#roots
        .eventPathOf(target)
        .concat([...target.querySelectorAll('*')])
        .includes(top)
    );
  }

  /** The drop target, or the element at that point if the target is gone. */
  #nodeAt(target: EventTarget | null, event: DragEvent): Node {
    if (isElement(target) && isConnected(target)) return target;
    return document.elementFromPoint(event.clientX, event.clientY) ?? document.body;
  }

  /** The browser's action for a drop that no listener handled. */
  #doDefaultAction(at: Node, protectedFiles: File[], event: DragEvent): void {
    if (isFileInput(at)) {
      if (at.disabled) return;
      setFiles(
        at,
        dataTransferWith(at, at.multiple || at.webkitdirectory ? protectedFiles : protectedFiles.slice(0, 1)).files,
      );
      this.onInputFilled(at);
      return;
    }
    const editable = editableAround(at);
    if (editable === null) return;
    void insertImages(editable, protectedFiles, caretAt(editable, { x: event.clientX, y: event.clientY }));
  }

  /** Called when a drop filled a file input, whose events must be fired. */
  onInputFilled: (input: HTMLInputElement) => void = () => undefined;
}

const MOUSE_INIT_KEYS = [
  'bubbles',
  'cancelable',
  'composed',
  'view',
  'detail',
  'screenX',
  'screenY',
  'clientX',
  'clientY',
  'ctrlKey',
  'shiftKey',
  'altKey',
  'metaKey',
  'button',
  'buttons',
  'relatedTarget',
] as const;

function mouseInitOf(event: DragEvent): DragEventInit {
  const init: Record<string, unknown> = {};
  for (const name of MOUSE_INIT_KEYS) init[name] = event[name];
  return init as DragEventInit;
}
