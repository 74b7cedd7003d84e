/**
 * Installs the engine in same-origin windows before their own content script runs: a frame that still has its initial
 * empty document gets the shims as soon as the page accesses it. Also restores our listeners, which `document.open`
 * removes.
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
      // Scripts in the written text may have run before this, but their wrapped listeners pass the gate in any case.
      const window = self.defaultView as Realm | null;
      if (window !== null) reopened(window);
      return result;
    });
  }
}
