/**
 * Wraps listeners of the site. They run after the event gate wherever they were added, and see a replayed event as a
 * Proxy with `isTrusted: true`, because no script can set that property.
 */
import type { EventGate } from './event-gate';
import { apply, SafeWeakMap, type Realm } from './primordials';
import { shimGetter, shimMethod, shimSetter } from './shims';

type Listener = ((this: unknown, event: Event) => unknown) | { handleEvent?: unknown };
type Member = (...args: unknown[]) => unknown;

/** Events that carry photos. */
const TYPES = ['input', 'change', 'drop', 'paste'];
const HANDLERS = TYPES.map((type) => `on${type}`);

export class TrustedEvents {
  readonly #gate: EventGate;
  readonly #claims: () => boolean;
  /** Event -> Proxy; `#raw` is the reverse. */
  readonly #shown = new SafeWeakMap<Event, Event>();
  readonly #raw = new SafeWeakMap<object, Event>();
  /** Listener -> wrapper, always the same, so that duplicates and removals work. */
  readonly #wrapped = new SafeWeakMap<object, Member>();
  readonly #listeners = new SafeWeakMap<object, object>();

  constructor(gate: EventGate, claims: () => boolean) {
    this.#gate = gate;
    this.#claims = claims;
  }

  /** The event as listeners of the site see it. */
  asTrusted<E extends Event | undefined>(event: E): E {
    if (event === undefined || !this.#gate.isReplay(event) || !this.#claims()) return event;
    let shown = this.#shown.get(event);
    if (shown === undefined) {
      shown = trustedProxy(event);
      this.#shown.set(event, shown);
      this.#raw.set(shown, event);
    }
    return shown as E;
  }

  /** The event behind a Proxy, for browser functions that reject Proxies. */
  rawEvent(value: unknown): unknown {
    return (typeof value === 'object' && value !== null ? this.#raw.get(value) : undefined) ?? value;
  }

  wrap(listener: Listener): Member {
    let wrapped = this.#wrapped.get(listener);
    if (wrapped !== undefined) return wrapped;
    const { intercepts: takes } = this.#gate;
    const shown = this.asTrusted.bind(this);
    wrapped = function (this: unknown, ...args: unknown[]): unknown {
      const event = args[0] as Event;
      if (takes(event)) return undefined;
      args[0] = shown(event);
      if (typeof listener === 'function') return apply(listener, this, args);
      // As the DOM standard requires: looked up for each event, called on the object.
      const { handleEvent } = listener;
      if (typeof handleEvent !== 'function') throw new TypeError("The listener's handleEvent is not a function.");
      return apply(handleEvent as Member, listener, args);
    };
    this.#wrapped.set(listener, wrapped);
    this.#listeners.set(wrapped, listener);
    return wrapped;
  }

  #wrapIfListener = (listener: unknown): unknown =>
    (typeof listener === 'object' && listener !== null) || typeof listener === 'function'
      ? this.wrap(listener as Listener)
      : listener;

  #unwrap = (listener: unknown): unknown =>
    (typeof listener === 'function' ? this.#listeners.get(listener) : undefined) ?? listener;

  /** `added` is called with the target before each listener is added. */
  install(realm: Realm, added: (target: EventTarget) => void): void {
    const target = realm.EventTarget.prototype;
    for (const name of ['addEventListener', 'removeEventListener']) {
      shimMethod<EventTarget>(target, name, (native, self, args) => {
        // Only strings: the page could observe a conversion of an object, which the browser does once itself.
        if (args.length < 2 || typeof args[0] !== 'string' || !TYPES.includes(args[0]))
          return apply(native, self, args);
        if (name === 'addEventListener') added(self);
        const [type, listener, ...rest] = args;
        return apply(native, self, [type, this.#wrapIfListener(listener), ...rest]);
      });
    }
    const owners = [realm, realm.Document, realm.HTMLElement, realm.SVGElement, realm.MathMLElement];
    for (const owner of owners) {
      const at = owner === realm ? owner : (owner as { prototype?: object } | undefined)?.prototype;
      for (const name of HANDLERS) {
        shimSetter<EventTarget>(at, name, (handler, self) => {
          added(self);
          return this.#wrapIfListener(handler);
        });
        shimGetter(at, name, this.#unwrap);
      }
    }
    shimGetter<unknown, Event | undefined>(realm, 'event', (event) => this.asTrusted(event));
  }

  /**
   * Wraps attribute handlers (`onchange="..."`) of the elements that a replay will pass. The browser compiled them, so
   * they did not go through our setters.
   */
  wrapAttributes(path: readonly EventTarget[], type: string): void {
    const name = `on${type}`;
    for (let index = 0; index < path.length; index += 1) {
      const element = path[index] as Element & Record<string, unknown>;
      if (typeof element.hasAttribute !== 'function' || !element.hasAttribute(name)) continue;
      const handler = element[name];
      if (typeof handler === 'function') element[name] = handler; // our shim wraps it
    }
  }
}

function trustedProxy(event: Event): Event {
  const members = new SafeWeakMap<object, Member>();
  return new Proxy(event, {
    get(target, key) {
      if (key === 'isTrusted') return true;
      const value = Reflect.get(target, key, target) as unknown;
      if (typeof value !== 'function' || key === 'constructor') return value;
      let member = members.get(value);
      if (member === undefined) {
        // Browser methods reject Proxies as `this`.
        member = (...args) => apply(value as Member, target, args) as unknown;
        members.set(value, member);
      }
      return member;
    },
    set: (target, key, value) => Reflect.set(target, key, value, target),
  });
}
