/** `navigator.clipboard.read()`: protects images of the items it returns. Items that the page made itself pass. */
import type { Engine } from '../engine';
import { mayBePhoto } from '../files';
import { apply, isBlob, SafeWeakMap, type Realm } from '../primordials';
import { shimMethod } from '../shims';

export function guardClipboardRead(engine: Engine, realm: Realm): void {
  const read = new SafeWeakMap<object, true>();
  const clipboard = (realm as { Clipboard?: { prototype: object } }).Clipboard;
  shimMethod(clipboard?.prototype, 'read', async (native, self, args) => {
    const items = (await apply(native, self, args)) as object[];
    for (const item of items) read.set(item, true);
    return items;
  });
  const item = (realm as { ClipboardItem?: { prototype: object } }).ClipboardItem;
  shimMethod<object>(item?.prototype, 'getType', (native, self, args) => {
    const result = apply(native, self, args) as Promise<unknown>;
    return engine.isOff || !read.has(self) ? result : protect(result);
  });

  async function protect(result: Promise<unknown>): Promise<unknown> {
    const blob = await result;
    if (!isBlob(blob) || !mayBePhoto(blob)) return blob;
    const outcome = await engine.settleOne('clipboard', blob);
    if (outcome === null) throw new realm.DOMException('The type was not found', 'NotFoundError');
    return outcome;
  }
}
