/** Forms wait for their inputs: a submit while a photo is held happens when the verdict is there. */
import type { Engine } from '../engine';
import type { Gate } from '../gate';
import {
  apply,
  filesOf,
  getter,
  isFileInput,
  isForm,
  later,
  listOf,
  method,
  preventDefault,
  targetOf,
  WeakTable,
  type Realm,
} from '../natives';
import { shimMethod } from '../shims';
import type { Inputs } from './inputs';

const elementsOf = getter(HTMLFormElement.prototype, 'elements');
const lengthOf = getter(HTMLCollection.prototype as { length: number }, 'length');
const nativeSubmit = method(HTMLFormElement.prototype, 'submit');
const nativeRequest = method(HTMLFormElement.prototype, 'requestSubmit');

/** What the site or the person wanted: with the checks and the `submit` event, or without. */
interface Wish {
  checked: boolean;
  submitter: HTMLElement | null;
}

export class Forms {
  readonly #engine: Engine;
  readonly #inputs: Inputs;
  readonly #waiting = new WeakTable<HTMLFormElement, Wish>();

  constructor(engine: Engine, gate: Gate, inputs: Inputs) {
    this.#engine = engine;
    this.#inputs = inputs;
    inputs.released = (form) => {
      this.#release(form);
    };
    gate.on(['submit'], (event) => this.#take(event as SubmitEvent));
  }

  install(realm: Realm): void {
    const prototype = realm.HTMLFormElement.prototype;
    shimMethod<HTMLFormElement>(prototype, 'submit', (native, self, args) => {
      if (this.#waits(self, { checked: false, submitter: null })) return undefined;
      if (isForm(self)) this.#engine.notice('posted-without', this.#lacking(self));
      return apply(native, self, args) as unknown;
    });
    shimMethod<HTMLFormElement>(prototype, 'requestSubmit', (native, self, args) => {
      const submitter = (args[0] as HTMLElement | null | undefined) ?? null;
      // A submitter that does not belong to the form is an error: the browser's to throw.
      const proper = submitter === null || (submitter as HTMLButtonElement).form === self;
      if (proper && this.#waits(self, { checked: true, submitter })) return undefined;
      return apply(native, self, args) as unknown;
    });
  }

  #take(event: SubmitEvent): boolean {
    const form = targetOf(event);
    if (!isForm(form)) return false;
    if (this.#waits(form, { checked: true, submitter: event.submitter })) {
      preventDefault(event);
      return true;
    }
    const lacking = this.#lacking(form);
    if (lacking.length > 0) {
      // Once its listeners ran: a form that a script sends is no form that lacks something.
      later(0, () => {
        if (!event.defaultPrevented) this.#engine.notice('posted-without', lacking);
      });
    }
    return false;
  }

  /** Whether something in it is held; then the wish is kept, the last one if there are several. */
  #waits(form: HTMLFormElement, wish: Wish): boolean {
    if (this.#engine.off || !isForm(form)) return false;
    const inputs = this.#inputsOf(form);
    for (const input of inputs) {
      if (!this.#inputs.isHeld(input) && this.#inputs.isUnknown(input)) {
        this.#inputs.hold(input, listOf(filesOf(input)), false);
      }
    }
    if (!inputs.some((input) => this.#inputs.isHeld(input))) {
      this.#waiting.delete(form); // it goes out now, with what it has
      return false;
    }
    this.#waiting.set(form, wish);
    return true;
  }

  #inputsOf(form: HTMLFormElement): HTMLInputElement[] {
    const elements = elementsOf(form);
    const inputs: HTMLInputElement[] = [];
    for (let index = 0; index < lengthOf(elements); index += 1) {
      const element = elements[index];
      if (isFileInput(element)) inputs.push(element);
    }
    return inputs;
  }

  #release(form: HTMLFormElement): void {
    const wish = this.#waiting.get(form);
    if (wish === undefined || this.#inputsOf(form).some((input) => this.#inputs.isHeld(input))) return;
    this.#waiting.delete(form);
    if (!wish.checked) {
      this.#engine.notice('posted-without', this.#lacking(form));
      nativeSubmit(form);
      return;
    }
    try {
      nativeRequest(form, wish.submitter);
    } catch {
      nativeRequest(form); // the button is gone
    }
  }

  #lacking(form: HTMLFormElement): string[] {
    const names: string[] = [];
    for (const input of this.#inputsOf(form)) names.push(...this.#inputs.withheldFrom(input));
    return names;
  }
}
