/**
 * How the two worlds of a frame find each other: a MessagePort, handed over inside one synchronous DOM event. Which of
 * the two content scripts starts first is not fixed, so each side knocks; whichever is second ends it, before any script
 * of the page runs. Once a port is taken no other is offered: a page that knocks gets none.
 */
import { revealClosedRoots } from './page/closed-shadow-roots';

const OFFER = 'anti-i2v:offer';
const REQUEST = 'anti-i2v:ask';

/** The page engine's side: calls `connected` once, with its end of the port. */
export function offerPort(connected: (port: MessagePort) => void): void {
  const hand = (): void => {
    const channel = new MessageChannel();
    const taken = !document.dispatchEvent(new MessageEvent(OFFER, { ports: [channel.port2], cancelable: true }));
    if (!taken) return;
    document.removeEventListener(REQUEST, hand);
    connected(channel.port1);
  };
  document.addEventListener(REQUEST, hand);
  hand();
}

/** The bridge's side: calls `connected` once, with its end of the port. */
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
