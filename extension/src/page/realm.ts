/** Puts everything in its place, in our own window and in those that we reach before their own script ran. */
import { Engine } from './engine';
import { Gate } from './gate';
import { preventDefault, typeOfEvent, WeakTable, type Realm } from './natives';
import { answerNeighbours, askNeighbours } from './neighbours';
import { Roots } from './roots';
import { maskToString, shimMethod } from './shims';
import { guardClipboard } from './surfaces/clipboard';
import { Drops } from './surfaces/drop';
import { Forms } from './surfaces/forms';
import { guardFrames } from './surfaces/frames';
import { guardHandles } from './surfaces/handles';
import { Inputs } from './surfaces/inputs';
import { allowOwnMade } from './surfaces/made';
import { Bodies, guardBeacon, guardFetch } from './surfaces/network';
import { guardPosting } from './surfaces/posting';
import { Pastes } from './surfaces/paste';
import { guardXhr } from './surfaces/xhr';
import { Trust } from './trust';

/** An event by which a window tells whether it has an engine, its own or its parent's. */
const PRESENT = 'anti-i2v:present';

export class Page {
  readonly engine = new Engine();
  readonly #gate = new Gate(this.engine);
  readonly #roots = new Roots(this.#gate);
  readonly #trust = new Trust(this.#gate, () => this.engine.claimsTrust);
  readonly #inputs = new Inputs(this.engine, this.#gate, this.#trust, this.#roots);
  readonly #forms = new Forms(this.engine, this.#gate, this.#inputs);
  readonly #drops = new Drops(this.engine, this.#gate, this.#trust, this.#roots);
  readonly #bodies = new Bodies(this.engine);
  /** By what a window has for itself alone: the window object of a frame stays when its page goes. */
  readonly #installed = new WeakTable<object, true>();

  constructor() {
    this.engine.registry.elsewhere = askNeighbours;
    new Pastes(this.engine, this.#gate, this.#trust, this.#roots);
    this.#roots.approached = (element) => {
      this.#inputs.watchInput(element);
    };
    this.#drops.picked = (input) => {
      this.#inputs.replay(input);
    };
  }

  /** False where an engine was there before: a frame whose parent came first, a script that runs twice. */
  install(realm: Realm): boolean {
    if (this.#installed.has(realm.EventTarget.prototype)) return true;
    if (!realm.document.dispatchEvent(new realm.Event(PRESENT, { cancelable: true }))) return false;
    this.#installed.set(realm.EventTarget.prototype, true);
    this.#guard(realm);
    maskToString(realm);
    this.#answerPresence(realm);
    this.#inputs.install(realm);
    this.#forms.install(realm);
    this.#drops.install(realm);
    this.#roots.install(realm);
    this.#trust.install(realm, (target) => {
      this.#inputs.watchInput(target);
    });
    guardClipboard(this.engine, realm);
    guardHandles(this.engine, realm);
    guardPosting(this.engine, realm);
    allowOwnMade(this.engine, realm);
    guardFetch(this.#bodies, realm);
    guardXhr(this.#bodies, realm);
    guardBeacon(this.#bodies, realm);
    guardFrames(
      realm,
      (window) => {
        this.#reach(window);
      },
      (window) => {
        this.#guard(window);
      },
    );
    return true;
  }

  readonly #answer = answerNeighbours(this.engine.registry);

  #guard(realm: Realm): void {
    this.#answer(realm);
    this.#roots.guard(realm);
  }

  #reach(window: Realm): void {
    try {
      this.install(window);
    } catch {
      // Another origin: it has its own, and nothing in it can be touched from here.
    }
  }

  #answerPresence(realm: Realm): void {
    shimMethod(realm.EventTarget.prototype, 'dispatchEvent', (native, self, args) => {
      const event = args[0];
      if (event instanceof realm.Event && typeOfEvent(event) === PRESENT) {
        // A new document in a window that we know: its listeners went with the old one.
        this.#guard(realm);
        preventDefault(event);
        return false;
      }
      return Reflect.apply(native, self, args) as unknown;
    });
  }
}
