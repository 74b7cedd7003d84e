/**
 * `<input type=file>`: the pick is taken back before any listener runs, and given again with protected photos. Inputs in
 * no document, in fragments or removed while the picker is open are watched from the moment they are clicked or listened
 * to.
 */
import type { Engine, Outcome, PendingOutcomes } from '../engine';
import { dataTransferWith, isOtherImage, mayBePhoto } from '../files';
import type { EventGate } from '../event-gate';
import {
  dispatch,
  filesOf,
  formOf,
  isElement,
  isFile,
  isFileInput,
  isRequired,
  setTimer,
  filesInList,
  nameOf,
  realmOf,
  setFiles,
  setRequired,
  setValue,
  typeOfEvent,
  SafeWeakMap,
  isTrusted,
  type Realm,
} from '../primordials';
import { shimMethod } from '../shims';
import type { ShadowRoots } from '../shadow-roots';
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
  /** Their `change` that belongs to an `input` we took is still to come. */
  readonly #expectingChange = new SafeWeakMap<HTMLInputElement, true>();
  /** Files that were kept from the site: what a form that goes out now lacks. */
  readonly #withheld = new SafeWeakMap<HTMLInputElement, string[]>();
  /** Keeps the objects alive on which `webkitRelativePath` is redefined. */
  readonly #given = new SafeWeakMap<HTMLInputElement, File[]>();
  /** Called when an input is no longer held; `forms` waits for it. */
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

  /** Whether its files may hold photos that no pick of ours brought: restored by the browser, or set by a script. */
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

  /** Makes sure that a pick in this element, or in what it labels, meets the gate first. */
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
    if (!this.#mustHold(files)) {
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

  #mustHold(files: readonly File[]): boolean {
    return files.some(
      (file) =>
        !this.#engine.allowedBytes.allows(file) &&
        (mayBePhoto(file) || (this.#engine.refusesOtherImages && isOtherImage(file))),
    );
  }

  /** The person picked anew: the earlier pick is nobody's any more. */
  #dropHeld(input: HTMLInputElement): void {
    const held = this.#held.get(input);
    if (held === undefined) return;
    held.pending.drop();
    this.#held.delete(input);
    if (held.required) setRequired(input, true);
  }

  /** `told`: whether the site is to hear of it by `input` and `change`, as it would have without us. */
  hold(input: HTMLInputElement, files: File[], told: boolean): void {
    this.#dropHeld(input);
    setValue(input, '');
    const held: HeldPick = {
      // What no act of the person brought was set by the page, which may send what it made.
      pending: this.#engine.settle(told ? 'input' : 'network', files),
      required: isRequired(input),
    };
    this.#held.set(input, held);
    // An empty required input stops its form before `submit`, and tells the person to pick what they have picked.
    if (held.required) setRequired(input, false);
    void this.#giveBack(input, files, held, told);
  }

  async #giveBack(input: HTMLInputElement, files: File[], held: HeldPick, told: boolean): Promise<void> {
    const outcomes = await held.pending.outcomes.catch((): Outcome[] => []);
    if (this.#held.get(input) !== held) return;
    this.#held.delete(input);
    if (held.required) setRequired(input, true);
    const given: File[] = [];
    const lacking: string[] = [];
    for (let index = 0; index < files.length; index += 1) {
      const outcome = outcomes[index] ?? null;
      if (outcome !== null && isFile(outcome)) given.push(outcome);
      else lacking.push(nameOf(files[index] as File));
    }
    if (lacking.length > 0) this.#withheld.set(input, lacking);
    const form = formOf(input);
    try {
      if (given.length > 0) {
        this.#given.set(input, given);
        setFiles(input, dataTransferWith(input, given).files);
      }
      if (told) this.replay(input, given.length > 0 ? PICK_EVENTS : ['cancel']);
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
    return false; // no event: the browser says so
  }
}
