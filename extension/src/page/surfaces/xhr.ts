/** XMLHttpRequest: `send` waits for the verdict. A synchronous request cannot wait, so it fails on an unknown photo. */
import { apply, SafeWeakMap, type Realm } from '../primordials';
import { shimMethod } from '../shims';
import type { RequestBodies } from './request-bodies';

interface Opened {
  method: unknown;
  asynchronous: boolean;
}

export function guardXhr(bodies: RequestBodies, realm: Realm): void {
  const prototype = realm.XMLHttpRequest.prototype;
  const nativeOpen = prototype.open as (...args: unknown[]) => void;
  const nativeSend = prototype.send as (...args: unknown[]) => void;
  const opened = new SafeWeakMap<XMLHttpRequest, Opened>();
  /** Requests that the site has sent and that wait for a verdict. */
  const waiting = new SafeWeakMap<XMLHttpRequest, { drop: () => void }>();

  const forget = (request: XMLHttpRequest): void => {
    waiting.get(request)?.drop();
    waiting.delete(request);
  };

  shimMethod<XMLHttpRequest>(prototype, 'open', (native, self, args) => {
    apply(native, self, args);
    forget(self);
    opened.set(self, { method: args[0], asynchronous: args.length < 3 || Boolean(args[2]) });
  });

  shimMethod<XMLHttpRequest>(prototype, 'send', (native, self, args) => {
    const [body] = args;
    const invalid = (): never => {
      throw new realm.DOMException("The object's state must be OPENED.", 'InvalidStateError');
    };
    if (waiting.has(self)) invalid();
    // If it is not opened, the browser throws.
    if (bodies.isClear(body) || self.readyState !== 1) return apply(native, self, args);
    if (opened.get(self)?.asynchronous === false) {
      throw new realm.DOMException('Failed to send: the photo is not protected.', 'NetworkError');
    }
    const { settled, drop } = bodies.settle(body);
    const turn = { drop };
    waiting.set(self, turn);
    void settled.then((outcome) => {
      if (waiting.get(self) !== turn) return;
      waiting.delete(self);
      if (outcome === null) fail(self);
      else apply(native, self, [outcome.body]);
    });
    return undefined;
  });

  /** Fails like a request that never reached its server, with the browser's own events. */
  function fail(request: XMLHttpRequest): void {
    apply(nativeOpen, request, [opened.get(request)?.method ?? 'POST', 'about:invalid', true]);
    apply(nativeSend, request, []);
  }

  shimMethod<XMLHttpRequest>(prototype, 'setRequestHeader', (native, self, args) => {
    if (waiting.has(self)) throw new realm.DOMException("The object's state must be OPENED.", 'InvalidStateError');
    return apply(native, self, args);
  });

  shimMethod<XMLHttpRequest>(prototype, 'abort', (native, self, args) => {
    const pending = waiting.has(self);
    forget(self);
    if (!pending) return apply(native, self, args);
    // The browser sent nothing, so it fires no events.
    apply(native, self, args);
    for (const type of ['abort', 'loadend']) self.dispatchEvent(new realm.ProgressEvent(type));
    return undefined;
  });
}
