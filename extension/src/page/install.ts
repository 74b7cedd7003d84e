/** Installs the page engine in our own window, and in other windows that we reach before their own scripts run. */
import { guardChildFrames } from './child-frames';
import { Engine } from './engine';
import { EventGate } from './event-gate';
import { allowPageGenerated } from './page-generated';
import { preventDefault, SafeWeakMap, typeOfEvent, type Realm } from './primordials';
import { answerOtherFrames, isAllowedByOtherFrame } from './same-origin-frames';
import { ShadowRoots } from './shadow-roots';
import { maskToString, shimMethod } from './shims';
import { UploadSurfaces } from './surfaces';
import { TrustedEvents } from './trusted-events';

/** Event by which a window finds out whether it already has an engine, its own or its parent's. */
const PRESENCE_EVENT = 'anti-i2v:present';

export class Installer {
  readonly engine = new Engine();
  readonly #gate = new EventGate(this.engine);
  readonly #roots = new ShadowRoots(this.#gate);
  readonly #trust = new TrustedEvents(this.#gate, () => this.engine.claimsTrust);
  readonly #surfaces = new UploadSurfaces(this.engine, this.#gate, this.#trust, this.#roots);
  /** Keyed by an object that a new document replaces: the window object of a frame survives its page. */
  readonly #installed = new SafeWeakMap<object, true>();
  readonly #answerOtherFrames = answerOtherFrames(this.engine.allowedBytes);

  constructor() {
    this.engine.allowedBytes.isAllowedByOtherFrame = isAllowedByOtherFrame;
    this.#roots.onApproach = (element) => {
      this.#surfaces.fileInputs.watchInput(element);
    };
  }

  /** Returns false where an engine was installed before: by the parent of this frame, or by an earlier run. */
  install(realm: Realm): boolean {
    if (this.#installed.has(realm.EventTarget.prototype)) return true;
    if (!realm.document.dispatchEvent(new realm.Event(PRESENCE_EVENT, { cancelable: true }))) return false;
    this.#installed.set(realm.EventTarget.prototype, true);
    this.#listen(realm);
    maskToString(realm);
    this.#answerPresence(realm);
    this.#roots.install(realm);
    this.#trust.install(realm, (target) => {
      this.#surfaces.fileInputs.watchInput(target);
    });
    this.#surfaces.install(realm);
    allowPageGenerated(this.engine, realm);
    guardChildFrames(
      realm,
      (window) => {
        this.#installIfSameOrigin(window);
      },
      (window) => {
        this.#listen(window);
      },
    );
    return true;
  }

  #listen(realm: Realm): void {
    this.#answerOtherFrames(realm);
    this.#roots.attachTo(realm);
  }

  #installIfSameOrigin(window: Realm): void {
    try {
      this.install(window);
    } catch {
      // Another origin: it has its own engine, and nothing in it can be touched from here.
    }
  }

  #answerPresence(realm: Realm): void {
    shimMethod(realm.EventTarget.prototype, 'dispatchEvent', (native, self, args) => {
      const event = args[0];
      if (event instanceof realm.Event && typeOfEvent(event) === PRESENCE_EVENT) {
        // A new document in a known window: the listeners went away with the old one.
        this.#listen(realm);
        preventDefault(event);
        return false;
      }
      return Reflect.apply(native, self, args) as unknown;
    });
  }
}
