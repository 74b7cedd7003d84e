/**
 * Every event of the person's that may carry photos passes here before the site sees it: at the window, at each shadow
 * root, at inputs that are in no document, and, where a listener of the site's could come first, in front of that.
 */
import { isTrusted, listen, preventDefault, stopImmediatePropagation, typeOfEvent, SafeWeakMap } from './primordials';
import type { Engine } from './engine';

/** Whether the event was taken: then no listener of the site sees it. */
export type Interceptor = (event: Event) => boolean;

export class EventGate {
  readonly #decided = new SafeWeakMap<Event, 'taken' | 'passed'>();
  /** Event type -> who looks at it. */
  readonly #interceptors: Record<string, Interceptor> = Object.create(null) as Record<string, Interceptor>;
  /** Events that we dispatched in place of the person's. */
  readonly #replays = new SafeWeakMap<Event, true>();
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  on(types: readonly string[], intercept: Interceptor): void {
    for (const type of types) this.#interceptors[type] = intercept;
  }

  get types(): string[] {
    return Object.keys(this.#interceptors);
  }

  /** Idempotent: whoever comes first decides, the others hear the same. */
  readonly intercepts = (event: Event): boolean => {
    if (this.#engine.isOff || !isTrusted(event)) return false;
    const intercept = this.#interceptors[typeOfEvent(event)];
    if (intercept === undefined) return false;
    const before = this.#decided.get(event);
    if (before !== undefined) return before === 'taken';
    let taken: boolean;
    try {
      taken = intercept(event);
    } catch {
      taken = true; // closed
      preventDefault(event);
    }
    this.#decided.set(event, taken ? 'taken' : 'passed');
    if (taken) stopImmediatePropagation(event);
    return taken;
  };

  readonly #listener = (event: Event): void => {
    this.intercepts(event);
  };

  /** Puts the gate in front of everything in `target`. Doing so again changes nothing. */
  attachTo(target: EventTarget, types: readonly string[] = this.types): void {
    for (const type of types) listen(target, type, this.#listener);
  }

  markReplay(event: Event): void {
    this.#replays.set(event, true);
  }

  isReplay(event: Event): boolean {
    return this.#replays.has(event);
  }
}
