/**
 * Other windows of this origin, as far as this one can touch them before their own content script ran: a frame that is
 * still on its first empty document gets our shims the moment the page reaches for it. And `document.open` takes all
 * listeners away, ours too.
 */
import { apply, type Realm } from './primordials';
import { shimGetter, shimMethod } from './shims';

export function guardChildFrames(
  realm: Realm,
  reach: (window: Realm) => void,
  reopened: (window: Realm) => void,
): void {
  const touch = (window: unknown): void => {
    if (window !== null && typeof window === 'object') reach(window as Realm);
  };
  const owners = [realm.HTMLIFrameElement, realm.HTMLFrameElement, realm.HTMLObjectElement];
  for (const owner of owners) {
    shimGetter(owner?.prototype, 'contentWindow', (window) => {
      touch(window);
      return window;
    });
    shimGetter(owner?.prototype, 'contentDocument', (document: Document | null) => {
      touch(document?.defaultView);
      return document;
    });
  }
  shimMethod(realm, 'open', (native, self, args) => {
    const window = apply(native, self, args) as Window | null;
    touch(window);
    return window;
  });
  for (const name of ['open', 'write', 'writeln']) {
    shimMethod<Document>(realm.Document.prototype, name, (native, self, args) => {
      const result = apply(native, self, args) as unknown;
      // The write may have run scripts of its own text; they find the gate again with the next call at the latest,
      // and their listeners are behind it in any case.
      const window = self.defaultView as Realm | null;
      if (window !== null) reopened(window);
      return result;
    });
  }
}
