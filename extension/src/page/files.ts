/** Helpers for files: which may be photos, and how a protected photo takes the metadata of the original. */
import { looksLikePhoto } from '../sniff-photo';
import {
  defineProperty,
  isFile,
  lastModifiedOf,
  method,
  nameOf,
  newBlob,
  newFile,
  realmOf,
  sizeOf,
  typeOf,
} from './primordials';

const MIN_PHOTO_BYTES = 32;
const OTHER_TYPES = /^image\/(gif|svg\+xml|apng)$/i;
const OTHER_NAMES = /\.(gif|svg|svgz|apng)$/i;

/** Whether type or name claim a GIF, APNG or SVG. They cannot be protected; the settings say what happens to them. */
export function isOtherImage(blob: Blob): boolean {
  return OTHER_TYPES.test(typeOf(blob)) || OTHER_NAMES.test(nameOf(blob));
}

/** Whether this may be a photo, so that it must be held until its bytes are read. */
export function mayBePhoto(blob: Blob): boolean {
  if (sizeOf(blob) < MIN_PHOTO_BYTES) return false;
  const type = typeOf(blob);
  const name = nameOf(blob);
  if (looksLikePhoto(type, name)) return true;
  if (isOtherImage(blob)) return false;
  if (/^image\//i.test(type)) return true; // possibly a photo under an unknown type name
  return type === '' && !/\.[a-z0-9]{1,8}$/i.test(name);
}

const relativePathOf = (file: File): string => file.webkitRelativePath;

/** Protected bytes with the original's name, type, time and path. */
export function withMetadataOf(original: Blob, bytes: Blob): Blob {
  const type = typeOf(original) || typeOf(bytes);
  if (!isFile(original)) return newBlob([bytes], type);
  const file = newFile([bytes], nameOf(original), type, lastModifiedOf(original));
  const path = relativePathOf(original);
  if (path !== '') {
    // No constructor accepts a path. A File has no own properties, so this one hides nothing.
    defineProperty(file, 'webkitRelativePath', { value: path, enumerable: true, configurable: true });
  }
  return file;
}

const addItem = method(DataTransferItemList.prototype, 'add') as (
  list: DataTransferItemList,
  ...args: [File] | [string, string]
) => DataTransferItem | null;

/** A DataTransfer with these files, created in the frame of `near`. */
export function dataTransferWith(near: Node, files: readonly File[]): DataTransfer {
  const transfer = new (realmOf(near).DataTransfer)();
  for (let index = 0; index < files.length; index += 1) addItem(transfer.items, files[index] as File);
  return transfer;
}

export { addItem };
