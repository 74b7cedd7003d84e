/**
 * FileSystemEntry of a drop: `file()` returns protected photos. Chromium exposes no constructors, so each prototype is
 * patched when its first object appears: the entry of an item or of a directory that is read.
 */
import type { Realm } from '../primordials';
import { apply, SafeWeakMap } from '../primordials';
import { shimMethod, type Native } from '../shims';

type Success = ((result: unknown) => void) | null | undefined;
type Failure = ((error: DOMException) => void) | null | undefined;

export class FileSystemEntries {
  readonly #shimmed = new SafeWeakMap<object, true>();
  /** Resolves to what the site gets for a file. */
  readonly #settle: (file: File) => Promise<File>;

  constructor(settled: (file: File) => Promise<File>) {
    this.#settle = settled;
  }

  install(realm: Realm): void {
    this.#shimPrototype(realm.FileSystemFileEntry?.prototype);
    this.#shimPrototype(realm.FileSystemDirectoryEntry?.prototype);
    this.#shimPrototype(realm.FileSystemDirectoryReader?.prototype);
  }

  guard(entry: FileSystemEntry | null): void {
    if (entry !== null) this.#shimPrototype(Object.getPrototypeOf(entry) as object);
  }

  #shimPrototype(prototype: object | undefined): void {
    if (prototype === undefined || this.#shimmed.has(prototype)) return;
    this.#shimmed.set(prototype, true);
    shimMethod(prototype, 'file', (native, self, args) => this.#file(native, self, args));
    shimMethod(prototype, 'createReader', (native, self, args) => {
      const reader = apply(native, self, args) as object;
      this.#shimPrototype(Object.getPrototypeOf(reader) as object);
      return reader;
    });
    shimMethod(prototype, 'readEntries', (native, self, args) => {
      return this.#observeResult(native, self, args, 0, (found) => {
        for (const entry of found as FileSystemEntry[]) this.guard(entry);
      });
    });
    for (const name of ['getFile', 'getDirectory', 'getParent']) {
      const index = name === 'getParent' ? 0 : 2;
      shimMethod(prototype, name, (native, self, args) => {
        return this.#observeResult(native, self, args, index, (found) => {
          this.guard(found as FileSystemEntry);
        });
      });
    }
  }

  /** Calls `see` before the success callback, which is `args[index]`. */
  #observeResult(
    native: Native,
    self: unknown,
    args: unknown[],
    index: number,
    see: (found: unknown) => void,
  ): unknown {
    const success = args[index] as Success;
    if (typeof success !== 'function') return apply(native, self, args);
    const changed = [...args];
    changed[index] = (found: unknown) => {
      see(found);
      success(found);
    };
    return apply(native, self, changed);
  }

  #file(native: Native, self: unknown, args: unknown[]): unknown {
    const [success, failure] = args as [Success, Failure];
    if (typeof success !== 'function') return apply(native, self, args);
    const give = (file: File): void => {
      this.#settle(file).then(success, (error: unknown) => {
        if (typeof failure === 'function') failure(error as DOMException);
      });
    };
    return apply(native, self, [give, ...args.slice(1)]);
  }
}
