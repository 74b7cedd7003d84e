/**
 * Entries of a drop: `file()` gives protected photos. Chromium names no constructor for them, so each prototype is met
 * with its first object: an entry of an item, or of a directory that is read.
 */
import type { Realm } from '../natives';
import { apply, WeakTable } from '../natives';
import { shimMethod, type Native } from '../shims';

type Success = ((result: unknown) => void) | null | undefined;
type Failure = ((error: DOMException) => void) | null | undefined;

export class Entries {
  readonly #met = new WeakTable<object, true>();
  /** What the site gets for a file, or why not. */
  readonly #settled: (file: File) => Promise<File>;

  constructor(settled: (file: File) => Promise<File>) {
    this.#settled = settled;
  }

  install(realm: Realm): void {
    this.#meet(realm.FileSystemFileEntry?.prototype);
    this.#meet(realm.FileSystemDirectoryEntry?.prototype);
    this.#meet(realm.FileSystemDirectoryReader?.prototype);
  }

  guard(entry: FileSystemEntry | null): void {
    if (entry !== null) this.#meet(Object.getPrototypeOf(entry) as object);
  }

  #meet(prototype: object | undefined): void {
    if (prototype === undefined || this.#met.has(prototype)) return;
    this.#met.set(prototype, true);
    shimMethod(prototype, 'file', (native, self, args) => this.#file(native, self, args));
    shimMethod(prototype, 'createReader', (native, self, args) => {
      const reader = apply(native, self, args) as object;
      this.#meet(Object.getPrototypeOf(reader) as object);
      return reader;
    });
    shimMethod(prototype, 'readEntries', (native, self, args) => {
      return this.#before(native, self, args, 0, (found) => {
        for (const entry of found as FileSystemEntry[]) this.guard(entry);
      });
    });
    for (const name of ['getFile', 'getDirectory', 'getParent']) {
      const place = name === 'getParent' ? 0 : 2;
      shimMethod(prototype, name, (native, self, args) => {
        return this.#before(native, self, args, place, (found) => {
          this.guard(found as FileSystemEntry);
        });
      });
    }
  }

  /** Calls `see` before the callback at `place`. */
  #before(native: Native, self: unknown, args: unknown[], place: number, see: (found: unknown) => void): unknown {
    const success = args[place] as Success;
    if (typeof success !== 'function') return apply(native, self, args);
    const changed = [...args];
    changed[place] = (found: unknown) => {
      see(found);
      success(found);
    };
    return apply(native, self, changed);
  }

  #file(native: Native, self: unknown, args: unknown[]): unknown {
    const [success, failure] = args as [Success, Failure];
    if (typeof success !== 'function') return apply(native, self, args);
    const give = (file: File): void => {
      this.#settled(file).then(success, (error: unknown) => {
        if (typeof failure === 'function') failure(error as DOMException);
      });
    };
    return apply(native, self, [give, ...args.slice(1)]);
  }
}
