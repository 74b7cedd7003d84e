/**
 * Drag and drop: the drop is taken back, and dropped again with protected photos. What hangs on the items beside files
 * (entries, handles) is kept for the second drop; the photos inside of those are protected where they are read.
 */
import type { Engine, Outcome } from '../engine';
import { addItem, carrier, isOtherImage, mayBePhoto } from '../files';
import type { Gate } from '../gate';
import {
  apply,
  dispatch,
  getter,
  isConnected,
  isElement,
  isFile,
  isFileInput,
  listOf,
  method,
  preventDefault,
  realmOf,
  setFiles,
  WeakTable,
  type Realm,
} from '../natives';
import { untilReachable } from '../reachable';
import type { Roots } from '../roots';
import { shimMethod } from '../shims';
import type { Trust } from '../trust';
import { Entries } from './entries';
import { settleFile } from './handles';
import { caretAt, editableAround, insertImages } from './editable';
import { rememberHandle } from './posting';

const transferOf = getter(DragEvent.prototype, 'dataTransfer');
const transferFiles = getter(DataTransfer.prototype, 'files');
const transferItems = getter(DataTransfer.prototype, 'items');
const typesOf = getter(DataTransfer.prototype, 'types');
const readText = method(DataTransfer.prototype, 'getData');
const itemFile = method(DataTransferItem.prototype, 'getAsFile');
const itemEntry = method(DataTransferItem.prototype, 'webkitGetAsEntry');

type HandleGetter = (this: DataTransferItem) => Promise<unknown>;
const nativeHandle = (DataTransferItem.prototype as { getAsFileSystemHandle?: HandleGetter }).getAsFileSystemHandle;

/** What an item was besides its file. */
interface Behind {
  entry: FileSystemEntry | null;
  handle: Promise<unknown> | null;
}

interface Dropped {
  file: File;
  behind: Behind;
}

export class Drops {
  readonly #engine: Engine;
  readonly #gate: Gate;
  readonly #trust: Trust;
  readonly #roots: Roots;
  readonly #entries: Entries;
  /** By the file in it: each look at an item makes a new object. */
  readonly #behind = new WeakTable<File, Behind>();

  constructor(engine: Engine, gate: Gate, trust: Trust, roots: Roots) {
    this.#engine = engine;
    this.#gate = gate;
    this.#trust = trust;
    this.#roots = roots;
    this.#entries = new Entries((file) => settleFile(engine, file));
    gate.on(['drop'], (event) => this.#take(event as DragEvent));
  }

  install(realm: Realm): void {
    this.#entries.install(realm);
    const prototype = realm.DataTransferItem.prototype;
    const behindOf = (item: DataTransferItem): Behind | undefined => {
      const file = itemFile(item);
      return file === null ? undefined : this.#behind.get(file);
    };
    shimMethod<DataTransferItem>(prototype, 'webkitGetAsEntry', (native, self, args) => {
      const entry = (apply(native, self, args) ?? behindOf(self)?.entry ?? null) as FileSystemEntry | null;
      this.#entries.guard(entry);
      return entry;
    });
    shimMethod<DataTransferItem>(prototype, 'getAsFileSystemHandle', (native, self, args) => {
      const handle = (behindOf(self)?.handle ?? apply(native, self, args)) as Promise<FileSystemHandle | null>;
      void handle.then(rememberHandle, () => undefined);
      return handle;
    });
  }

  #take(event: DragEvent): boolean {
    const transfer = transferOf(event);
    if (transfer === null) return false;
    const files = listOf(transferFiles(transfer));
    if (files.length === 0) return false;
    const dropped = this.#read(transfer, files);
    if (!dropped.some((each) => each.behind.entry?.isDirectory !== true && this.#mustHold(each.file))) {
      this.#engine.tellOthers(files);
      return false;
    }
    const target = this.#roots.innermost(event, null, (root) => root.elementFromPoint(event.clientX, event.clientY));
    preventDefault(event); // the browser would open the photo in place of the page
    void this.#again(event, target, transfer, dropped);
    return true;
  }

  #mustHold(file: File): boolean {
    if (this.#engine.registry.allows(file)) return false;
    return mayBePhoto(file) || (this.#engine.refusesOthers && isOtherImage(file));
  }

  /** Now or never: an item says nothing after its event. */
  #read(transfer: DataTransfer, files: File[]): Dropped[] {
    const behind: Behind[] = [];
    const items = transferItems(transfer);
    for (let index = 0; index < items.length; index += 1) {
      const item = items[index] as DataTransferItem;
      if (item.kind !== 'file') continue;
      const handle = nativeHandle === undefined ? null : (apply(nativeHandle, item, []) as Promise<unknown>);
      handle?.catch(() => undefined); // not ours to report
      behind[behind.length] = { entry: itemEntry(item), handle };
    }
    return files.map((file, index) => ({ file, behind: behind[index] ?? { entry: null, handle: null } }));
  }

  async #again(
    event: DragEvent,
    target: EventTarget | null,
    transfer: DataTransfer,
    dropped: Dropped[],
  ): Promise<void> {
    const texts: [string, string][] = [];
    for (const type of typesOf(transfer)) if (type !== 'Files') texts.push([type, readText(transfer, type)]);
    const effect = { effectAllowed: transfer.effectAllowed, dropEffect: transfer.dropEffect };
    const like = copyOf(event);
    // A directory is no file: what is in it is asked about when it is read.
    const files = dropped.filter((each) => each.behind.entry?.isDirectory !== true);
    const outcomes = await this.#engine
      .settle(
        'drop',
        files.map((each) => each.file),
      )
      .outcomes.catch((): Outcome[] => []);
    if (files.length === dropped.length && outcomes.every((outcome) => outcome === null)) return;
    await untilReachable(() => this.#isOver(target, event));
    const at = this.#placeOf(target, event);
    const given: File[] = [];
    for (let index = 0, asked = 0; index < dropped.length; index += 1) {
      const { file, behind } = dropped[index] as Dropped;
      const outcome = behind.entry?.isDirectory === true ? file : (outcomes[asked++] ?? null);
      if (outcome === null || !isFile(outcome)) continue;
      given.push(outcome);
      this.#behind.set(outcome, behind);
    }
    if (given.length === 0) return;
    const second = carrier(at, given);
    for (const [type, text] of texts) addItem(second.items, text, type);
    Object.assign(second, effect);
    const replay = new (realmOf(at).DragEvent)('drop', { ...like, dataTransfer: second });
    this.#gate.markReplay(replay);
    this.#trust.wrapAttributes(this.#roots.lineOf(at), 'drop');
    if (dispatch(at, replay)) this.#default(at, given, event);
  }

  /** Whether the place is not covered by something else. */
  #isOver(target: EventTarget | null, event: DragEvent): boolean {
    if (!isElement(target) || !isConnected(target)) return true;
    const top = target.ownerDocument.elementFromPoint(event.clientX, event.clientY);
    return (
      top !== null &&
      this.#roots
        .lineOf(target)
        .concat([...target.querySelectorAll('*')])
        .includes(top)
    );
  }

  /** Where it was dropped; what lies there now if that element is gone. */
  #placeOf(target: EventTarget | null, event: DragEvent): Node {
    if (isElement(target) && isConnected(target)) return target;
    return document.elementFromPoint(event.clientX, event.clientY) ?? document.body;
  }

  /** What the browser does with a drop that no listener took. */
  #default(at: Node, given: File[], event: DragEvent): void {
    if (isFileInput(at)) {
      if (at.disabled) return;
      setFiles(at, carrier(at, at.multiple || at.webkitdirectory ? given : given.slice(0, 1)).files);
      this.picked(at);
      return;
    }
    const editable = editableAround(at);
    if (editable === null) return;
    void insertImages(editable, given, caretAt(editable, { x: event.clientX, y: event.clientY }));
  }

  /** An input got files by a drop: its events are due. */
  picked: (input: HTMLInputElement) => void = () => undefined;
}

const MOUSE = [
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

function copyOf(event: DragEvent): DragEventInit {
  const init: Record<string, unknown> = {};
  for (const name of MOUSE) init[name] = event[name];
  return init as DragEventInit;
}
