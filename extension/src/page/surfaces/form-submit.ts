/** Form submission: a form whose input is held is submitted after the verdict. */
import type { Engine } from '../engine';
import type { EventGate } from '../event-gate';
import {
  apply,
  filesInList,
  filesOf,
  getter,
  isFileInput,
  isForm,
  method,
  preventDefault,
  SafeWeakMap,
  setTimer,
  targetOf,
  type Realm,
} from '../primordials';
import { shimMethod } from '../shims';
import type { FileInputs } from './file-input';

const elementsOf = getter(HTMLFormElement.prototype, 'elements');
const lengthOf = getter(HTMLCollection.prototype as { length: number }, 'length');
const nativeSubmit = method(HTMLFormElement.prototype, 'submit');
const nativeRequest = method(HTMLFormElement.prototype, 'requestSubmit');

/** `validates`: with validation and the `submit` event (requestSubmit), or without (submit). */
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
      // The browser throws for a submitter of another form.
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
    const withheld = this.#withheldNames(form);
    if (withheld.length > 0) {
      // After its listeners: a form that a script sends itself lacks nothing.
      setTimer(0, () => {
        if (!event.defaultPrevented) this.#engine.notice('posted-without', withheld);
      });
    }
    return false;
  }

  /** Returns whether an input of the form is held. If so, keeps the (latest) submit for later. */
  #holdIfPending(form: HTMLFormElement, pendingSubmit: PendingSubmit): boolean {
    if (this.#engine.isOff || !isForm(form)) return false;
    const inputs = this.#inputsOf(form);
    for (const input of inputs) {
      if (!this.#inputs.isHeld(input) && this.#inputs.hasUnknownPhoto(input)) {
        this.#inputs.hold(input, filesInList(filesOf(input)), false);
      }
    }
    if (!inputs.some((input) => this.#inputs.isHeld(input))) {
      this.#waiting.delete(form); // submitted now, with what it has
      return false;
    }
    this.#waiting.set(form, pendingSubmit);
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
    const pendingSubmit = this.#waiting.get(form);
    if (pendingSubmit === undefined || this.#inputsOf(form).some((input) => this.#inputs.isHeld(input))) return;
    this.#waiting.delete(form);
    if (!pendingSubmit.validates) {
      this.#engine.notice('posted-without', this.#withheldNames(form));
      nativeSubmit(form);
      return;
    }
    try {
      nativeRequest(form, pendingSubmit.submitter);
    } catch {
      nativeRequest(form); // the submitter is gone
    }
  }

  #withheldNames(form: HTMLFormElement): string[] {
    const names: string[] = [];
    for (const input of this.#inputsOf(form)) names.push(...this.#inputs.withheldFrom(input));
    return names;
  }
}
