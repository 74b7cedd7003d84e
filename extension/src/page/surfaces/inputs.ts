/**
 * `<input type=file>`: the pick is taken back before any listener runs, and given again with protected photos. Inputs in
 * no document, in fragments or removed while the picker is open are watched from the moment they are clicked or listened
 * to.
 */
import type { Engine, Outcome, Settling } from '../engine';
import { carrier, isOtherImage, mayBePhoto } from '../files';
import type { Gate } from '../gate';
import {
  dispatch,
  filesOf,
  formOf,
  isElement,
  isFile,
  isFileInput,
  isRequired,
  later,
  listOf,
  nameOf,
  realmOf,
  setFiles,
  setRequired,
  setValue,
  typeOfEvent,
  WeakTable,
  isTrusted,
  type Realm,
} from '../natives';
import { shimMethod } from '../shims';
import type { Roots } from '../roots';
import type { Trust } from '../trust';

const PICK = ['input', 'change'];

interface Held {
  settling: Settling;
  required: boolean;
}

export class Inputs {
  readonly #engine: Engine;
  readonly #gate: Gate;
  readonly #trust: Trust;
  readonly #roots: Roots;
  readonly #held = new WeakTable<HTMLInputElement, Held>();
  /** Their `change` that belongs to an `input` we took is still to come. */
  readonly #expecting = new WeakTable<HTMLInputElement, true>();
  /** Files that were kept from the site: what a form that goes out now lacks. */
  readonly #withheld = new WeakTable<HTMLInputElement, string[]>();
  /** Keeps the objects alive on which `webkitRelativePath` is redefined. */
  readonly #given = new WeakTable<HTMLInputElement, File[]>();
  /** Called when an input is no longer held; `forms` waits for it. */
  released: (form: HTMLFormElement) => void = () => undefined;

  constructor(engine: Engine, gate: Gate, trust: Trust, roots: Roots) {
    this.#engine = engine;
    this.#gate = gate;
    this.#trust = trust;
    this.#roots = roots;
    gate.on(PICK, (event) => this.#take(event));
  }

  isHeld(input: HTMLInputElement): boolean {
    return this.#held.has(input);
  }

  withheldFrom(input: HTMLInputElement): string[] {
    return listOf(filesOf(input)).length > 0 ? [] : (this.#withheld.get(input) ?? []);
  }

  /** Whether its files may hold photos that no pick of ours brought: restored by the browser, or set by a script. */
  isUnknown(input: HTMLInputElement): boolean {
    const files = listOf(filesOf(input));
    return files.some((file) => mayBePhoto(file) && !this.#engine.registry.allows(file));
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
      const raw = this.#trust.raw(args[0]);
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
    if (isFileInput(target)) this.#gate.guard(target, PICK);
  }

  #take(event: Event): boolean {
    if ('inputType' in event) return false; // typing
    const input = this.#roots.innermost(event, (found) => {
      return isFileInput(found) && !this.#held.has(found) && this.isUnknown(found);
    });
    if (!isFileInput(input)) return false;
    if (typeOfEvent(event) === 'change' && this.#expecting.has(input)) {
      this.#expecting.delete(input);
      return true;
    }
    const files = listOf(filesOf(input));
    this.#withheld.delete(input);
    if (!this.#mustHold(files)) {
      this.#engine.tellOthers(files);
      this.#letGo(input);
      return false;
    }
    this.hold(input, files, true);
    if (typeOfEvent(event) === 'input') {
      this.#expecting.set(input, true);
      later(0, () => {
        this.#expecting.delete(input);
      });
    }
    return true;
  }

  #mustHold(files: readonly File[]): boolean {
    return files.some(
      (file) =>
        !this.#engine.registry.allows(file) && (mayBePhoto(file) || (this.#engine.refusesOthers && isOtherImage(file))),
    );
  }

  /** The person picked anew: the earlier pick is nobody's any more. */
  #letGo(input: HTMLInputElement): void {
    const held = this.#held.get(input);
    if (held === undefined) return;
    held.settling.drop();
    this.#held.delete(input);
    if (held.required) setRequired(input, true);
  }

  /** `told`: whether the site is to hear of it by `input` and `change`, as it would have without us. */
  hold(input: HTMLInputElement, files: File[], told: boolean): void {
    this.#letGo(input);
    setValue(input, '');
    const held: Held = {
      // What no act of the person brought was set by the page, which may send what it made.
      settling: this.#engine.settle(told ? 'input' : 'network', files),
      required: isRequired(input),
    };
    this.#held.set(input, held);
    // An empty required input stops its form before `submit`, and tells the person to pick what they have picked.
    if (held.required) setRequired(input, false);
    void this.#giveBack(input, files, held, told);
  }

  async #giveBack(input: HTMLInputElement, files: File[], held: Held, told: boolean): Promise<void> {
    const outcomes = await held.settling.outcomes.catch((): Outcome[] => []);
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
        setFiles(input, carrier(input, given).files);
      }
      if (told) this.replay(input, given.length > 0 ? PICK : ['cancel']);
    } finally {
      if (form !== null) this.released(form);
    }
  }

  replay(input: HTMLInputElement, types: readonly string[] = PICK): void {
    const { Event } = realmOf(input);
    for (const type of types) {
      const event = new Event(type, { bubbles: true, composed: type === 'input' });
      this.#gate.markReplay(event);
      this.#trust.wrapAttributes(this.#roots.lineOf(input), type);
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
