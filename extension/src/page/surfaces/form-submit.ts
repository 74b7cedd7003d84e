/** Forms wait for their inputs: a submit while a photo is held happens when the verdict is there. */
import type { Engine } from '../engine';
import type { EventGate } from '../event-gate';
import {
  apply,
  filesOf,
  getter,
  isFileInput,
  isForm,
  setTimer,
  filesInList,
  method,
  preventDefault,
  targetOf,
  SafeWeakMap,
  type Realm,
} from '../primordials';
import { shimMethod } from '../shims';
import type { FileInputs } from './file-input';

const elementsOf = getter(HTMLFormElement.prototype, 'elements');
const lengthOf = getter(HTMLCollection.prototype as { length: number }, 'length');
const nativeSubmit = method(HTMLFormElement.prototype, 'submit');
const nativeRequest = method(HTMLFormElement.prototype, 'requestSubmit');

/** What the site or the person wanted: with the checks and the `submit` event, or without. */
interface PendingSubmit {
  validates: boolean;
  submitter: HTMLElement | null;
}

export class FormSubmits {
  readonly #engine: Engine;
  readonly #inputs: FileInputs;
  readonly #waiting = new SafeWeakMap<HTMLFormElement, PendingSubmit>();

  constructor(engine: Engine, gate: EventGate, inputs: FileInputs) {
    this.#engine = engine;
    this.#inputs = inputs;
    inputs.onReleased = (form) => {
      this.#release(form);
    };
    gate.on(['submit'], (event) => this.#intercept(event as SubmitEvent));
  }

  install(realm: Realm): void {
    const prototype = realm.HTMLFormElement.prototype;
    shimMethod<HTMLFormElement>(prototype, 'submit', (native, self, args) => {
      if (this.#holdIfPending(self, { validates: false, submitter: null })) return undefined;
      if (isForm(self)) this.#engine.notice('posted-without', this.#withheldNames(self));
      return apply(native, self, args) as unknown;
    });
    shimMethod<HTMLFormElement>(prototype, 'requestSubmit', (native, self, args) => {
      const submitter = (args[0] as HTMLElement | null | undefined) ?? null;
      // A submitter that does not belong to the form is an error: the browser's to throw.
      const proper = submitter === null || (submitter as HTMLButtonElement).form === self;
      if (proper && this.#holdIfPending(self, { validates: true, submitter })) return undefined;
      return apply(native, self, args) as unknown;
    });
  }

  #intercept(event: SubmitEvent): boolean {
    const form = targetOf(event);
    if (!isForm(form)) return false;
    if (this.#holdIfPending(form, { validates: true, submitter: event.submitter })) {
      preventDefault(event);
      return true;
    }
    const lacking = this.#withheldNames(form);
    if (lacking.length > 0) {
      // Once its listeners ran: a form that a script sends is no form that lacks something.
      setTimer(0, () => {
        if (!event.defaultPrevented) this.#engine.notice('posted-without', lacking);
      });
    }
    return false;
  }

  /** Whether something in it is held; then the wish is kept, the last one if there are several. */
  #holdIfPending(form: HTMLFormElement, wish: PendingSubmit): boolean {
    if (this.#engine.isOff || !isForm(form)) return false;
    const inputs = this.#inputsOf(form);
    for (const input of inputs) {
      if (!this.#inputs.isHeld(input) && this.#inputs.hasUnknownPhoto(input)) {
        this.#inputs.hold(input, filesInList(filesOf(input)), false);
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
    if (!wish.validates) {
      this.#engine.notice('posted-without', this.#withheldNames(form));
      nativeSubmit(form);
      return;
    }
    try {
      nativeRequest(form, wish.submitter);
    } catch {
      nativeRequest(form); // the button is gone
    }
  }

  #withheldNames(form: HTMLFormElement): string[] {
    const names: string[] = [];
    for (const input of this.#inputsOf(form)) names.push(...this.#inputs.withheldFrom(input));
    return names;
  }
}
