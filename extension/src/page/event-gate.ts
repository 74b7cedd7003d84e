/**
 * Sees every trusted event that may carry photos before the site does: at the window, at each shadow root, at detached
 * inputs, and in front of any listener of the site that could run first.
 */
import type { Engine } from './engine';
import { isTrusted, listen, preventDefault, SafeWeakMap, stopImmediatePropagation, typeOfEvent } from './primordials';

/** Returns whether it took the event, so that no listener of the site may see it. */
type Interceptor = (event: Event) => boolean;

export class EventGate {
  readonly #decided = new SafeWeakMap<Event, 'taken' | 'passed'>();
  /** By event type. */
  readonly #interceptors: Record<string, Interceptor> = Object.create(null) as Record<string, Interceptor>;
  /** Events that we dispatched in place of the user's. */
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

  /** Whether the event was taken. Idempotent: the first call decides. */
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
      taken = true; // fail closed
      preventDefault(event);
    }
    this.#decided.set(event, taken ? 'taken' : 'passed');
    if (taken) stopImmediatePropagation(event);
    return taken;
  };

  readonly #listener = (event: Event): void => {
    this.intercepts(event);
  };

  /** Listens at `target`, before its other listeners. Idempotent. */
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
