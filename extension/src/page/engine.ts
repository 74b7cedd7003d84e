/**
 * Holds photos until the bridge gives a verdict on them. Everything that goes wrong ends as "nothing": the site gets a
 * photo only if it is protected, or if the person said so.
 */
import type { FromPage, HeldPhoto, Notice, PageState, Surface, ToPage, Verdict } from '../messages';
import { HEAD, sniff } from '../photos';
import { dress, isOtherImage } from './files';
import { fingerprint, type Fingerprint } from './hash';
import {
  bytesOf,
  dataOf,
  hearFrom,
  isBlob,
  later,
  nameOf,
  postTo,
  sliceOf,
  sizeOf,
  Table,
  whenClosed,
} from './natives';
import { Registry } from './registry';

/** How long a hold waits for a bridge that never came (the extension was updated, the browser forbids it here). */
const BRIDGE_PATIENCE = 10_000;
/** Single files that a site asks for one by one (entries of a directory, handles) within this time are one hold. */
const GATHERING = 30;

/** What the site gets for one file: itself, its protected self, or null: nothing. */
export type Outcome = Blob | null;

export interface Settling {
  outcomes: Promise<Outcome[]>;
  /** Nobody waits any more. */
  drop: () => void;
}

/** A photo that the bridge was asked about. Several picks of the same one wait for the same verdict. */
interface Asked {
  verdict: Promise<Verdict>;
  give: (verdict: Verdict) => void;
  print: Fingerprint;
  hold: OpenHold;
}

interface OpenHold {
  id: string;
  photos: Table<string, Asked>;
  waiting: number;
  /** Made before the first state arrived: released where that says "off". */
  early: boolean;
}

const NOTHING: Verdict = { kind: 'nothing' };

export class Engine {
  readonly registry = new Registry();
  #state: PageState | null = null;
  #port: MessagePort | null = null;
  #gone = false;
  #unsent: FromPage[] = [];
  readonly #holds = new Table<string, OpenHold>();
  /** By content. */
  readonly #asked = new Table<string, Asked>();
  #count = 0;
  readonly #patience: number;
  readonly #gathering = new Table<Surface, { files: Blob[]; settled: Promise<Outcome[]> }>();

  constructor(patience = BRIDGE_PATIENCE) {
    this.#patience = patience;
  }

  /** Protection is off here: everything goes as if the extension were not there. */
  get off(): boolean {
    return this.#state !== null && !this.#state.enabled;
  }

  get claimsTrust(): boolean {
    return this.#state?.trusted ?? true;
  }

  get refusesOthers(): boolean {
    return this.#state?.others === 'refuse';
  }

  // ------------------------------------------------------------- the bridge

  connect(port: MessagePort): void {
    this.#port = port;
    hearFrom(port, (event) => {
      this.#hear(dataOf(event) as ToPage);
    });
    whenClosed(port, () => {
      this.#fail();
    });
    const unsent = this.#unsent;
    this.#unsent = [];
    for (let index = 0; index < unsent.length; index += 1) this.#send(unsent[index] as FromPage);
  }

  #send(message: FromPage): void {
    if (this.#gone) return;
    if (this.#port === null) this.#unsent[this.#unsent.length] = message;
    else postTo(this.#port, message);
  }

  #hear(message: ToPage): void {
    if (message.kind === 'state') {
      const first = this.#state === null;
      this.#state = message.state;
      if (first && !message.state.enabled) this.#releaseEarly();
    } else {
      const hold = this.#holds.get(message.hold);
      if (hold === undefined) return;
      this.#close(hold, (id) => message.verdicts[id] ?? NOTHING);
    }
  }

  #releaseEarly(): void {
    for (const id of this.#holds.keys()) {
      const hold = this.#holds.get(id);
      if (hold?.early !== true) continue;
      this.#close(hold, () => ({ kind: 'original' }));
      this.#send({ kind: 'drop', hold: id });
    }
  }

  #close(hold: OpenHold, verdictOf: (photo: string) => Verdict): void {
    this.#holds.delete(hold.id);
    for (const id of hold.photos.keys()) {
      const asked = hold.photos.get(id) as Asked;
      this.#asked.delete(asked.print.whole);
      asked.give(verdictOf(id));
    }
  }

  /** No bridge, or none any more: nothing goes out from here until the page is loaded anew. */
  #fail(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#unsent = [];
    for (const id of this.#holds.keys()) this.#close(this.#holds.get(id) as OpenHold, () => NOTHING);
  }

  // ------------------------------------------------------------- what a surface asks

  notice(notice: Notice, names: string[]): void {
    if (names.length > 0) this.#send({ kind: 'notice', notice, names });
  }

  /** GIF and SVG that pass at once: told, where the person wants to know. */
  tellOthers(files: readonly Blob[]): void {
    if (this.#state?.others !== 'tell') return;
    const vectors: string[] = [];
    const animations: string[] = [];
    for (let index = 0; index < files.length; index += 1) {
      const file = files[index] as Blob;
      if (isOtherImage(file))
        (/svgz?$|svg\+xml/i.test(nameOf(file) + file.type) ? vectors : animations).push(nameOf(file));
    }
    this.notice('vector', vectors);
    this.notice('animation', animations);
  }

  /** What becomes of files that one act of the person brought. Never rejects. */
  settle(surface: Surface, files: readonly Blob[]): Settling {
    const joined: OpenHold[] = [];
    let dropped = false;
    const join = (hold: OpenHold): void => {
      if (dropped) return;
      hold.waiting += 1;
      joined[joined.length] = hold;
    };
    const drop = (): void => {
      dropped = true;
      for (let index = 0; index < joined.length; index += 1) this.#leave(joined[index] as OpenHold);
      joined.length = 0;
    };
    return { outcomes: this.#settle(surface, files, join), drop };
  }

  async #settle(surface: Surface, files: readonly Blob[], join: (hold: OpenHold) => void): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    const pending: (Asked | undefined)[] = [];
    const others: Record<'vector' | 'animation', string[]> = { vector: [], animation: [] };
    const hold: OpenHold = {
      id: `h${String((this.#count += 1))}`,
      photos: new Table(),
      waiting: 0,
      early: this.#state === null,
    };
    const photos: HeldPhoto[] = [];
    for (let index = 0; index < files.length; index += 1) {
      const file = files[index] as Blob;
      outcomes[index] = null;
      try {
        const judged = await this.#judge(surface, file);
        if (judged === 'vector' || judged === 'animation') {
          others[judged].push(nameOf(file));
          outcomes[index] = this.refusesOthers ? null : file;
        } else if ('size' in judged) {
          outcomes[index] = judged;
        } else {
          const asked = this.#asked.get(judged.whole) ?? this.#ask(hold, photos, file, judged);
          pending[index] = asked;
          join(asked.hold);
        }
      } catch {
        // Unreadable: the site could not read it either.
      }
    }
    if (this.#state?.others !== 'pass') {
      this.notice('vector', others.vector);
      this.notice('animation', others.animation);
    }
    if (photos.length > 0) this.#open(hold, surface, photos);
    for (let index = 0; index < files.length; index += 1) {
      const asked = pending[index];
      if (asked !== undefined) outcomes[index] = this.#outcome(files[index] as Blob, await asked.verdict, asked.print);
    }
    return outcomes;
  }

  /** The file itself if it may leave as it is; its protected self if that is known; else what it is. */
  async #judge(surface: Surface, file: Blob): Promise<Blob | Fingerprint | 'vector' | 'animation'> {
    if (this.off || this.registry.allows(file)) return file;
    const kind = sniff(await bytesOf(sliceOf(file, 0, HEAD)));
    if (kind === 'other') {
      this.registry.clear(file);
      return file;
    }
    if (kind !== 'photo') return kind;
    const print = fingerprint(await bytesOf(file));
    const passes = surface === 'network' ? this.registry.maySend(print) : this.registry.isProtected(print);
    if (await passes) return file;
    // A part of a photo that nobody protected: protecting the part would make a broken file of it.
    if (sizeOf(this.registry.sourceOf(file)) !== sizeOf(file)) throw new Error('part of an unprotected photo');
    const known = this.registry.answer(print);
    return known === undefined ? print : this.#dressed(file, known);
  }

  #ask(hold: OpenHold, photos: HeldPhoto[], file: Blob, print: Fingerprint): Asked {
    const id = `${hold.id}.${String(photos.length)}`;
    let give: (verdict: Verdict) => void = () => undefined;
    const verdict = new Promise<Verdict>((resolve) => {
      give = resolve;
    });
    const asked: Asked = { verdict, give, print, hold };
    hold.photos.set(id, asked);
    this.#asked.set(print.whole, asked);
    photos[photos.length] = { id, name: nameOf(file), file };
    return asked;
  }

  #open(hold: OpenHold, surface: Surface, photos: HeldPhoto[]): void {
    this.#holds.set(hold.id, hold);
    if (hold.waiting === 0) {
      this.#close(hold, () => NOTHING); // dropped while its bytes were read
      return;
    }
    if (hold.early && this.#state !== null) {
      // It arrived while the bytes were read.
      if (!this.#state.enabled) {
        this.#close(hold, () => ({ kind: 'original' }));
        return;
      }
      hold.early = false;
    }
    if (this.#gone) {
      this.#close(hold, () => NOTHING);
      return;
    }
    try {
      this.#send({ kind: 'hold', hold: { id: hold.id, surface, photos } });
    } catch {
      this.#close(hold, () => NOTHING); // a file that does not clone
    }
    if (this.#port === null) {
      later(this.#patience, () => {
        if (this.#port === null) this.#fail();
      });
    }
  }

  #leave(hold: OpenHold): void {
    hold.waiting -= 1;
    if (hold.waiting > 0 || !this.#holds.has(hold.id)) return;
    this.#close(hold, () => NOTHING);
    this.#send({ kind: 'drop', hold: hold.id });
  }

  #outcome(file: Blob, verdict: Verdict, print: Fingerprint): Outcome {
    if (verdict.kind === 'original') {
      this.registry.release(file, print);
      return file;
    }
    if (verdict.kind !== 'protected' || !isBlob(verdict.file) || sizeOf(verdict.file) === 0) return null;
    this.registry.remember(print, verdict.file);
    return this.#dressed(file, verdict.file);
  }

  #dressed(file: Blob, bytes: Blob): Blob {
    const dressed = dress(file, bytes);
    this.registry.protect(dressed);
    return dressed;
  }

  /** One file that a site asks for by itself; those asked for at about the same time become one hold. */
  async settleOne(surface: Surface, file: Blob): Promise<Outcome> {
    const group = this.#gathering.get(surface) ?? this.#gather(surface);
    const place = group.files.length;
    group.files[place] = file;
    return (await group.settled)[place] ?? null;
  }

  #gather(surface: Surface): { files: Blob[]; settled: Promise<Outcome[]> } {
    const files: Blob[] = [];
    const settled = new Promise<void>((resolve) => {
      later(GATHERING, resolve);
    }).then(() => {
      this.#gathering.delete(surface);
      return this.settle(surface, files).outcomes;
    });
    const group = { files, settled };
    this.#gathering.set(surface, group);
    return group;
  }
}
