/**
 * File handles (`showOpenFilePicker`, `launchQueue`, directories, drops, IndexedDB): `getFile` returns protected
 * photos. Files in the site's own storage (OPFS) were written by the site and may be read; the network surface checks
 * them before they are sent.
 */
import type { Engine } from '../engine';
import { apply, isFile, type Realm } from '../primordials';
import { shimMethod } from '../shims';

/** Resolves to what a site gets for a file. Rejects as if the user had denied access. */
export async function settleFile(engine: Engine, file: File): Promise<File> {
  if (engine.isOff) return file;
  if (!engine.mustHold(file)) {
    engine.noticeOtherImages([file]);
    return file;
  }
  const outcome = await engine.settleOne('handle', file);
  if (outcome === null || !isFile(outcome)) {
    throw new DOMException('The request is not allowed by the user agent.', 'NotAllowedError');
  }
  return outcome;
}

export function guardFileHandles(engine: Engine, realm: Realm): void {
  const ownStorage = realm.StorageManager?.prototype.getDirectory as
    (() => Promise<FileSystemDirectoryHandle>) | undefined;
  const resolve = realm.FileSystemDirectoryHandle?.prototype.resolve;

  async function isOwn(handle: FileSystemFileHandle): Promise<boolean> {
    if (ownStorage === undefined || resolve === undefined) return false;
    try {
      const root = await (apply(ownStorage, realm.navigator.storage, []) as Promise<FileSystemDirectoryHandle>);
      return (await (apply(resolve, root, [handle]) as Promise<string[] | null>)) !== null;
    } catch {
      return false; // no storage: the handle is the user's
    }
  }

  async function opened(handle: FileSystemFileHandle, result: Promise<File>): Promise<File> {
    const file = await result;
    if (!engine.isOff && engine.mustHold(file) && (await isOwn(handle))) return file;
    return settleFile(engine, file);
  }

  shimMethod<FileSystemFileHandle>(realm.FileSystemFileHandle?.prototype, 'getFile', (native, self, args) => {
    const result = apply(native, self, args) as Promise<File>;
    return engine.isOff ? result : opened(self, result);
  });
}
