/**
 * `<input type=file>`: clears a pick before any listener runs, and replays it with protected photos. Inputs that are
 * detached, in fragments, or removed while the picker is open are watched from their first click or listener.
 */
import type { Engine, Outcome, PendingOutcomes } from '../engine';
import type { EventGate } from '../event-gate';
import { dataTransferWith, mayBePhoto } from '../files';
import {
  SafeWeakMap,
  dispatch,
  filesInList,
  filesOf,
  formOf,
  isElement,
  isFile,
  isFileInput,
  isRequired,
  isTrusted,
  nameOf,
  realmOf,
  setFiles,
  setRequired,
  setTimer,
  setValue,
  typeOfEvent,
  type Realm,
} from '../primordials';
import type { ShadowRoots } from '../shadow-roots';
import { shimMethod } from '../shims';
import type { TrustedEvents } from '../trusted-events';

const PICK_EVENTS = ['input', 'change'];

interface HeldPick {
  pending: PendingOutcomes;
  required: boolean;
}

export class FileInputs {
  readonly #engine: Engine;
  readonly #gate: EventGate;
  readonly #trust: TrustedEvents;
  readonly #roots: ShadowRoots;
  readonly #held = new SafeWeakMap<HTMLInputElement, HeldPick>();
  /** Inputs whose `input` event was taken and whose `change` event is still to come. */
  readonly #expectingChange = new SafeWeakMap<HTMLInputElement, true>();
  /** Names of withheld files: a form that is submitted now lacks them. */
  readonly #withheld = new SafeWeakMap<HTMLInputElement, string[]>();
  /** Keeps the File objects with a redefined `webkitRelativePath` alive. */
  readonly #given = new SafeWeakMap<HTMLInputElement, File[]>();
  /** Called with the form of an input that is no longer held. */
  onReleased: (form: HTMLFormElement) => void = () => undefined;

  constructor(engine: Engine, gate: EventGate, trust: TrustedEvents, roots: ShadowRoots) {
    this.#engine = engine;
    this.#gate = gate;
    this.#trust = trust;
    this.#roots = roots;
    gate.on(PICK_EVENTS, (event) => this.#intercept(event));
  }

  isHeld(input: HTMLInputElement): boolean {
    return this.#held.has(input);
  }

  withheldFrom(input: HTMLInputElement): string[] {
    return filesInList(filesOf(input)).length > 0 ? [] : (this.#withheld.get(input) ?? []);
  }

  /** Whether it has photos that came by no event: restored by the browser, or set by a script. */
  hasUnknownPhoto(input: HTMLInputElement): boolean {
    const files = filesInList(filesOf(input));
    return files.some((file) => mayBePhoto(file) && !this.#engine.allowedBytes.allows(file));
  }

  install(realm: Realm): void {
    const watch = (target: unknown): void => {
      if (isElement(target)) this.watch(target);
    };
    shimMethod(realm.HTMLElement.prototype, 'click', (native, self, args) => {
      watch(self);
      return native.apply(self, args) as unknown;
    });
    shimMethod(realm.HTMLInputElement.prototype, 'showPicker', (native, self, args) => {
      watch(self);
      return native.apply(self, args) as unknown;
    });
    shimMethod(realm.EventTarget.prototype, 'dispatchEvent', (native, self, args) => {
      const raw = this.#trust.rawEvent(args[0]);
      if (isClick(raw)) watch(self);
      return native.apply(self, raw === args[0] ? args : [raw]) as unknown;
    });
  }

  /** Attaches the gate to this element, to the input it labels, and to their roots. */
  watch(element: HTMLElement): void {
    this.#roots.watchAround(element);
    this.watchInput(element);
    const control = (element as Partial<HTMLLabelElement>).control;
    if (isFileInput(control)) {
      this.#roots.watchAround(control);
      this.watchInput(control);
    }
  }

  watchInput(target: EventTarget): void {
    if (isFileInput(target)) this.#gate.attachTo(target, PICK_EVENTS);
  }

  #intercept(event: Event): boolean {
    if ('inputType' in event) return false; // typing
    const input = this.#roots.innermostTarget(event, (found) => {
      return isFileInput(found) && !this.#held.has(found) && this.hasUnknownPhoto(found);
    });
    if (!isFileInput(input)) return false;
    if (typeOfEvent(event) === 'change' && this.#expectingChange.has(input)) {
      this.#expectingChange.delete(input);
      return true;
    }
    const files = filesInList(filesOf(input));
    this.#withheld.delete(input);
    if (!files.some((file) => this.#engine.mustHold(file))) {
      this.#engine.noticeOtherImages(files);
      this.#dropHeld(input);
      return false;
    }
    this.hold(input, files, true);
    if (typeOfEvent(event) === 'input') {
      this.#expectingChange.set(input, true);
      setTimer(0, () => {
        this.#expectingChange.delete(input);
      });
    }
    return true;
  }

  /** Drops an earlier pick: the user picked again. */
  #dropHeld(input: HTMLInputElement): void {
    const held = this.#held.get(input);
    if (held === undefined) return;
    held.pending.drop();
    this.#held.delete(input);
    if (held.required) setRequired(input, true);
  }

  /** Holds the files of an input. `fireEvents`: whether the site expects `input` and `change` events. */
  hold(input: HTMLInputElement, files: File[], fireEvents: boolean): void {
    this.#dropHeld(input);
    setValue(input, '');
    const held: HeldPick = {
      // Files that came by no event were set by the page, which may send what it made.
      pending: this.#engine.settle(fireEvents ? 'input' : 'network', files),
      required: isRequired(input),
    };
    this.#held.set(input, held);
    // An empty required input would block its form and ask the user to pick again.
    if (held.required) setRequired(input, false);
    void this.#giveBack(input, files, held, fireEvents);
  }

  async #giveBack(input: HTMLInputElement, files: File[], held: HeldPick, fireEvents: boolean): Promise<void> {
    const outcomes = await held.pending.outcomes.catch((): Outcome[] => []);
    if (this.#held.get(input) !== held) return;
    this.#held.delete(input);
    if (held.required) setRequired(input, true);
    const given: File[] = [];
    const withheld: string[] = [];
    for (let index = 0; index < files.length; index += 1) {
      const outcome = outcomes[index] ?? null;
      if (outcome !== null && isFile(outcome)) given.push(outcome);
      else withheld.push(nameOf(files[index] as File));
    }
    if (withheld.length > 0) this.#withheld.set(input, withheld);
    const form = formOf(input);
    try {
      if (given.length > 0) {
        this.#given.set(input, given);
        setFiles(input, dataTransferWith(input, given).files);
      }
      if (fireEvents) this.replay(input, given.length > 0 ? PICK_EVENTS : ['cancel']);
    } finally {
      if (form !== null) this.onReleased(form);
    }
  }

  replay(input: HTMLInputElement, types: readonly string[] = PICK_EVENTS): void {
    const { Event } = realmOf(input);
    for (const type of types) {
      const event = new Event(type, { bubbles: true, composed: type === 'input' });
      this.#gate.markReplay(event);
      this.#trust.wrapAttributes(this.#roots.eventPathOf(input), type);
      dispatch(input, event);
    }
  }
}

function isClick(value: unknown): boolean {
  try {
    return typeOfEvent(value as Event) === 'click' && !isTrusted(value as Event);
  } catch {
    return false; // not an Event: the browser throws
  }
}
