/** Files as a site expects them: what is asked about, and how a protected photo takes the place of the original. */
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

const MIN_PHOTO_BYTES = 32; // no photo is smaller
const OTHER_TYPES = /^image\/(gif|svg\+xml|apng)$/i;
const OTHER_NAMES = /\.(gif|svg|svgz|apng)$/i;

/** GIF and SVG, by type or name: they cannot be protected, and the person decides what becomes of them. */
export function isOtherImage(blob: Blob): boolean {
  return OTHER_TYPES.test(typeOf(blob)) || OTHER_NAMES.test(nameOf(blob));
}

/** Whether this may be a photo: whoever carries it waits until its bytes were looked at. */
export function mayBePhoto(blob: Blob): boolean {
  if (sizeOf(blob) < MIN_PHOTO_BYTES) return false;
  const type = typeOf(blob);
  const name = nameOf(blob);
  if (looksLikePhoto(type, name)) return true;
  if (isOtherImage(blob)) return false;
  if (/^image\//i.test(type)) return true; // a format that we may not know by name
  return type === '' && !/\.[a-z0-9]{1,8}$/i.test(name);
}

const relativePathOf = (file: File): string => file.webkitRelativePath;

/** The protected bytes under the original's name, type, time and path. */
export function withMetadataOf(original: Blob, bytes: Blob): Blob {
  const type = typeOf(original) || typeOf(bytes);
  if (!isFile(original)) return newBlob([bytes], type);
  const file = newFile([bytes], nameOf(original), type, lastModifiedOf(original));
  const path = relativePathOf(original);
  if (path !== '') {
    // No constructor takes a path. The browser finds no own property on a File, so nothing is hidden by this one.
    defineProperty(file, 'webkitRelativePath', { value: path, enumerable: true, configurable: true });
  }
  return file;
}

const addItem = method(DataTransferItemList.prototype, 'add') as (
  list: DataTransferItemList,
  ...args: [File] | [string, string]
) => DataTransferItem | null;

/** A DataTransfer with these files, made by the frame that `near` lives in. */
export function dataTransferWith(near: Node, files: readonly File[]): DataTransfer {
  const transfer = new (realmOf(near).DataTransfer)();
  for (let index = 0; index < files.length; index += 1) addItem(transfer.items, files[index] as File);
  return transfer;
}

export { addItem };
