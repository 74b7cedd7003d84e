/** All upload surfaces (see ../../upload-surfaces.ts), one file each. */
import type { Engine } from '../engine';
import type { EventGate } from '../event-gate';
import type { Realm } from '../primordials';
import type { ShadowRoots } from '../shadow-roots';
import type { TrustedEvents } from '../trusted-events';
import { guardClipboardRead } from './clipboard-read';
import { DragAndDrop } from './drag-and-drop';
import { guardFetch } from './fetch';
import { guardFileHandles } from './file-handles';
import { FileInputs } from './file-input';
import { FormSubmits } from './form-submit';
import { PasteEvents } from './paste';
import { guardPostMessage } from './post-message';
import { RequestBodies } from './request-bodies';
import { guardSendBeacon } from './send-beacon';
import { guardXhr } from './xhr';

export class UploadSurfaces {
  readonly fileInputs: FileInputs;
  readonly #engine: Engine;
  readonly #formSubmits: FormSubmits;
  readonly #dragAndDrop: DragAndDrop;
  readonly #requestBodies: RequestBodies;

  constructor(engine: Engine, gate: EventGate, trust: TrustedEvents, roots: ShadowRoots) {
    this.#engine = engine;
    this.fileInputs = new FileInputs(engine, gate, trust, roots);
    this.#formSubmits = new FormSubmits(engine, gate, this.fileInputs);
    this.#dragAndDrop = new DragAndDrop(engine, gate, trust, roots);
    this.#dragAndDrop.onInputFilled = (input) => {
      this.fileInputs.replay(input);
    };
    new PasteEvents(engine, gate, trust, roots);
    this.#requestBodies = new RequestBodies(engine);
  }

  /** Replaces the functions of a window through which photos can leave. */
  install(realm: Realm): void {
    this.fileInputs.install(realm);
    this.#formSubmits.install(realm);
    this.#dragAndDrop.install(realm);
    guardClipboardRead(this.#engine, realm);
    guardFileHandles(this.#engine, realm);
    guardPostMessage(this.#engine, realm);
    guardFetch(this.#requestBodies, realm);
    guardXhr(this.#requestBodies, realm);
    guardSendBeacon(this.#requestBodies, realm);
  }
}
