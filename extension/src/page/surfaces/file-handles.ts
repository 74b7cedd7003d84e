/**
 * Files behind a handle: `showOpenFilePicker`, `launchQueue`, directories, dropped handles, handles kept in IndexedDB.
 * They all end in `getFile`. A file in the site's own storage (OPFS) was written by the site: it may read it as it likes,
 * and the network judges what of it may leave.
 */
import type { Engine } from '../engine';
import { isOtherImage, mayBePhoto } from '../files';
import { apply, isFile, type Realm } from '../primordials';
import { shimMethod } from '../shims';

function mustHold(engine: Engine, file: File): boolean {
  if (engine.isOff || engine.allowedBytes.allows(file)) return false;
  return mayBePhoto(file) || (engine.refusesOtherImages && isOtherImage(file));
}

/** What a site gets for a file that it asks for by itself; rejects as if the person had not allowed it. */
export async function settleFile(engine: Engine, file: File): Promise<File> {
  if (!mustHold(engine, file)) {
    if (!engine.isOff) engine.noticeOtherImages([file]);
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
      return false; // no storage here: then the handle is the person's
    }
  }

  async function opened(handle: FileSystemFileHandle, asked: Promise<File>): Promise<File> {
    const file = await asked;
    if (mustHold(engine, file) && (await isOwn(handle))) return file;
    return settleFile(engine, file);
  }

  shimMethod<FileSystemFileHandle>(realm.FileSystemFileHandle?.prototype, 'getFile', (native, self, args) => {
    const asked = apply(native, self, args) as Promise<File>;
    return engine.isOff ? asked : opened(self, asked);
  });
}
