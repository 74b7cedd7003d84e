/**
 * Handshake between the two content scripts of a frame: one synchronous DOM event carries a MessagePort. Their start
 * order is not fixed, so the page engine offers a port and the bridge requests one; whichever runs second completes the
 * handshake before any script of the page runs. After that no port is offered, so a page cannot get one.
 */
import { revealClosedRoots } from './page/closed-shadow-roots';

const OFFER = 'anti-i2v:offer';
const REQUEST = 'anti-i2v:ask';

/** Page engine's side. Calls `connected` once, with its end of the port. */
export function offerPort(connected: (port: MessagePort) => void): void {
  const offer = (): void => {
    const channel = new MessageChannel();
    const accepted = !document.dispatchEvent(new MessageEvent(OFFER, { ports: [channel.port2], cancelable: true }));
    if (!accepted) return;
    document.removeEventListener(REQUEST, offer);
    connected(channel.port1);
  };
  document.addEventListener(REQUEST, offer);
  offer();
}

/** Bridge's side. Calls `connected` once, with its end of the port. */
export function acceptPort(connected: (port: MessagePort) => void): void {
  const take = (event: Event): void => {
    const port = (event as MessageEvent).ports[0];
    if (port === undefined) return;
    event.stopImmediatePropagation();
    event.preventDefault(); // "taken"
    document.removeEventListener(OFFER, take, true);
    connected(port);
  };
  document.addEventListener(OFFER, take, true);
  document.dispatchEvent(new Event(REQUEST));
  revealClosedRoots();
}
