/** Puts everything in its place, in our own window and in those that we reach before their own script ran. */
import { Engine } from './engine';
import { EventGate } from './event-gate';
import { preventDefault, typeOfEvent, SafeWeakMap, type Realm } from './primordials';
import { answerOtherFrames, isAllowedByOtherFrame } from './same-origin-frames';
import { ShadowRoots } from './shadow-roots';
import { maskToString, shimMethod } from './shims';
import { guardClipboard } from './surfaces/clipboard-read';
import { DragAndDrop } from './surfaces/drag-and-drop';
import { FormSubmits } from './surfaces/form-submit';
import { guardFrames } from './child-frames';
import { guardFileHandles } from './surfaces/file-handles';
import { FileInputs } from './surfaces/file-input';
import { allowPageGenerated } from './page-generated';
import { RequestBodies, guardBeacon, guardFetch } from './surfaces/fetch';
import { guardPostMessage } from './surfaces/post-message';
import { PasteEvents } from './surfaces/paste';
import { guardXhr } from './surfaces/xhr';
import { TrustedEvents } from './trusted-events';

/** An event by which a window tells whether it has an engine, its own or its parent's. */
const PRESENCE_EVENT = 'anti-i2v:present';

export class Installer {
  readonly engine = new Engine();
  readonly #gate = new EventGate(this.engine);
  readonly #roots = new ShadowRoots(this.#gate);
  readonly #trust = new TrustedEvents(this.#gate, () => this.engine.claimsTrust);
  readonly #inputs = new FileInputs(this.engine, this.#gate, this.#trust, this.#roots);
  readonly #forms = new FormSubmits(this.engine, this.#gate, this.#inputs);
  readonly #drops = new DragAndDrop(this.engine, this.#gate, this.#trust, this.#roots);
  readonly #bodies = new RequestBodies(this.engine);
  /** By what a window has for itself alone: the window object of a frame stays when its page goes. */
  readonly #installed = new SafeWeakMap<object, true>();

  constructor() {
    this.engine.allowedBytes.isAllowedByOtherFrame = isAllowedByOtherFrame;
    new PasteEvents(this.engine, this.#gate, this.#trust, this.#roots);
    this.#roots.onApproach = (element) => {
      this.#inputs.watchInput(element);
    };
    this.#drops.onInputFilled = (input) => {
      this.#inputs.replay(input);
    };
  }

  /** False where an engine was there before: a frame whose parent came first, a script that runs twice. */
  install(realm: Realm): boolean {
    if (this.#installed.has(realm.EventTarget.prototype)) return true;
    if (!realm.document.dispatchEvent(new realm.Event(PRESENCE_EVENT, { cancelable: true }))) return false;
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
    guardFileHandles(this.engine, realm);
    guardPostMessage(this.engine, realm);
    allowPageGenerated(this.engine, realm);
    guardFetch(this.#bodies, realm);
    guardXhr(this.#bodies, realm);
    guardBeacon(this.#bodies, realm);
    guardFrames(
      realm,
      (window) => {
        this.#installIfSameOrigin(window);
      },
      (window) => {
        this.#guard(window);
      },
    );
    return true;
  }

  readonly #answerOtherFrames = answerOtherFrames(this.engine.allowedBytes);

  #guard(realm: Realm): void {
    this.#answerOtherFrames(realm);
    this.#roots.attachTo(realm);
  }

  #installIfSameOrigin(window: Realm): void {
    try {
      this.install(window);
    } catch {
      // Another origin: it has its own, and nothing in it can be touched from here.
    }
  }

  #answerPresence(realm: Realm): void {
    shimMethod(realm.EventTarget.prototype, 'dispatchEvent', (native, self, args) => {
      const event = args[0];
      if (event instanceof realm.Event && typeOfEvent(event) === PRESENCE_EVENT) {
        // A new document in a window that we know: its listeners went with the old one.
        this.#guard(realm);
        preventDefault(event);
        return false;
      }
      return Reflect.apply(native, self, args) as unknown;
    });
  }
}
