/**
 * Holds photos until the bridge gives a verdict on them. Everything that goes wrong ends as "nothing": the site gets a
 * photo only if it is protected, or if the person said so.
 */
import type { PageToBridge, HeldPhoto, Notice, PageState, BridgeToPage, Verdict } from '../messages';
import type { UploadSurface } from '../upload-surfaces';
import { SNIFF_BYTES, sniffImage } from '../sniff-photo';
import { withMetadataOf, isOtherImage } from './files';
import { fingerprint, type Fingerprint } from './fingerprint';
import {
  bytesOf,
  messageData,
  onPortMessage,
  isBlob,
  setTimer,
  nameOf,
  postToPort,
  sliceOf,
  sizeOf,
  SafeMap,
  onPortClose,
} from './primordials';
import { AllowedBytes } from './allowed-bytes';

/** How long a hold waits for a bridge that never came (the extension was updated, the browser forbids it here). */
const BRIDGE_TIMEOUT = 10_000;
/** Single files that a site asks for one by one (entries of a directory, handles) within this time are one hold. */
const BATCH_WINDOW = 30;

/** What the site gets for one file: itself, its protected self, or null: nothing. */
export type Outcome = Blob | null;

export interface PendingOutcomes {
  outcomes: Promise<Outcome[]>;
  /** Nobody waits any more. */
  drop: () => void;
}

/** A photo that the bridge was asked about. Several picks of the same one wait for the same verdict. */
interface PendingPhoto {
  verdict: Promise<Verdict>;
  give: (verdict: Verdict) => void;
  print: Fingerprint;
  hold: OpenHold;
}

interface OpenHold {
  id: string;
  photos: SafeMap<string, PendingPhoto>;
  waiting: number;
  /** Made before the first state arrived: released where that says "off". */
  early: boolean;
}

const NOTHING: Verdict = { kind: 'nothing' };

export class Engine {
  readonly allowedBytes = new AllowedBytes();
  #state: PageState | null = null;
  #port: MessagePort | null = null;
  #bridgeGone = false;
  #unsent: PageToBridge[] = [];
  readonly #holds = new SafeMap<string, OpenHold>();
  /** By content. */
  readonly #pending = new SafeMap<string, PendingPhoto>();
  #count = 0;
  readonly #bridgeTimeout: number;
  readonly #batches = new SafeMap<UploadSurface, { files: Blob[]; settled: Promise<Outcome[]> }>();

  constructor(patience = BRIDGE_TIMEOUT) {
    this.#bridgeTimeout = patience;
  }

  /** Protection is off here: everything goes as if the extension were not there. */
  get isOff(): boolean {
    return this.#state !== null && !this.#state.enabled;
  }

  get claimsTrust(): boolean {
    return this.#state?.trusted ?? true;
  }

  get refusesOtherImages(): boolean {
    return this.#state?.others === 'refuse';
  }

  // ------------------------------------------------------------- the bridge

  connect(port: MessagePort): void {
    this.#port = port;
    onPortMessage(port, (event) => {
      this.#onMessage(messageData(event) as BridgeToPage);
    });
    onPortClose(port, () => {
      this.#onBridgeGone();
    });
    const unsent = this.#unsent;
    this.#unsent = [];
    for (let index = 0; index < unsent.length; index += 1) this.#send(unsent[index] as PageToBridge);
  }

  #send(message: PageToBridge): void {
    if (this.#bridgeGone) return;
    if (this.#port === null) this.#unsent[this.#unsent.length] = message;
    else postToPort(this.#port, message);
  }

  #onMessage(message: BridgeToPage): void {
    if (message.kind === 'state') {
      const first = this.#state === null;
      this.#state = message.state;
      if (first && !message.state.enabled) this.#releaseEarly();
    } else {
      const hold = this.#holds.get(message.hold);
      if (hold === undefined) return;
      this.#closeHold(hold, (id) => message.verdicts[id] ?? NOTHING);
    }
  }

  #releaseEarly(): void {
    for (const id of this.#holds.keys()) {
      const hold = this.#holds.get(id);
      if (hold?.early !== true) continue;
      this.#closeHold(hold, () => ({ kind: 'original' }));
      this.#send({ kind: 'drop', hold: id });
    }
  }

  #closeHold(hold: OpenHold, verdictOf: (photo: string) => Verdict): void {
    this.#holds.delete(hold.id);
    for (const id of hold.photos.keys()) {
      const asked = hold.photos.get(id) as PendingPhoto;
      this.#pending.delete(asked.print.whole);
      asked.give(verdictOf(id));
    }
  }

  /** No bridge, or none any more: nothing goes out from here until the page is loaded anew. */
  #onBridgeGone(): void {
    if (this.#bridgeGone) return;
    this.#bridgeGone = true;
    this.#unsent = [];
    for (const id of this.#holds.keys()) this.#closeHold(this.#holds.get(id) as OpenHold, () => NOTHING);
  }

  // ------------------------------------------------------------- what a surface asks

  notice(notice: Notice, names: string[]): void {
    if (names.length > 0) this.#send({ kind: 'notice', notice, names });
  }

  /** GIF and SVG that pass at once: told, where the person wants to know. */
  noticeOtherImages(files: readonly Blob[]): void {
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
  settle(surface: UploadSurface, files: readonly Blob[]): PendingOutcomes {
    const joined: OpenHold[] = [];
    let dropped = false;
    const join = (hold: OpenHold): void => {
      if (dropped) return;
      hold.waiting += 1;
      joined[joined.length] = hold;
    };
    const drop = (): void => {
      dropped = true;
      for (let index = 0; index < joined.length; index += 1) this.#leaveHold(joined[index] as OpenHold);
      joined.length = 0;
    };
    return { outcomes: this.#settle(surface, files, join), drop };
  }

  async #settle(surface: UploadSurface, files: readonly Blob[], join: (hold: OpenHold) => void): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    const pending: (PendingPhoto | undefined)[] = [];
    const others: Record<'vector' | 'animation', string[]> = { vector: [], animation: [] };
    const hold: OpenHold = {
      id: `h${String((this.#count += 1))}`,
      photos: new SafeMap(),
      waiting: 0,
      early: this.#state === null,
    };
    const photos: HeldPhoto[] = [];
    for (let index = 0; index < files.length; index += 1) {
      const file = files[index] as Blob;
      outcomes[index] = null;
      try {
        const judged = await this.#classify(surface, file);
        if (judged === 'vector' || judged === 'animation') {
          others[judged].push(nameOf(file));
          outcomes[index] = this.refusesOtherImages ? null : file;
        } else if ('size' in judged) {
          outcomes[index] = judged;
        } else {
          const asked = this.#pending.get(judged.whole) ?? this.#addPhoto(hold, photos, file, judged);
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
    if (photos.length > 0) this.#openHold(hold, surface, photos);
    for (let index = 0; index < files.length; index += 1) {
      const asked = pending[index];
      if (asked !== undefined)
        outcomes[index] = this.#applyVerdict(files[index] as Blob, await asked.verdict, asked.print);
    }
    return outcomes;
  }

  /** The file itself if it may leave as it is; its protected self if that is known; else what it is. */
  async #classify(surface: UploadSurface, file: Blob): Promise<Blob | Fingerprint | 'vector' | 'animation'> {
    if (this.isOff || this.allowedBytes.allows(file)) return file;
    const kind = sniffImage(await bytesOf(sliceOf(file, 0, SNIFF_BYTES)));
    if (kind === 'other') {
      this.allowedBytes.allowObject(file);
      return file;
    }
    if (kind !== 'photo') return kind;
    const print = fingerprint(await bytesOf(file));
    const passes = surface === 'network' ? this.allowedBytes.maySend(print) : this.allowedBytes.isProtected(print);
    if (await passes) return file;
    // A part of a photo that nobody protected: protecting the part would make a broken file of it.
    if (sizeOf(this.allowedBytes.sourceOf(file)) !== sizeOf(file)) throw new Error('part of an unprotected photo');
    const known = this.allowedBytes.protectedFor(print);
    return known === undefined ? print : this.#protectedCopy(file, known);
  }

  #addPhoto(hold: OpenHold, photos: HeldPhoto[], file: Blob, print: Fingerprint): PendingPhoto {
    const id = `${hold.id}.${String(photos.length)}`;
    let give: (verdict: Verdict) => void = () => undefined;
    const verdict = new Promise<Verdict>((resolve) => {
      give = resolve;
    });
    const asked: PendingPhoto = { verdict, give, print, hold };
    hold.photos.set(id, asked);
    this.#pending.set(print.whole, asked);
    photos[photos.length] = { id, name: nameOf(file), file };
    return asked;
  }

  #openHold(hold: OpenHold, surface: UploadSurface, photos: HeldPhoto[]): void {
    this.#holds.set(hold.id, hold);
    if (hold.waiting === 0) {
      this.#closeHold(hold, () => NOTHING); // dropped while its bytes were read
      return;
    }
    if (hold.early && this.#state !== null) {
      // It arrived while the bytes were read.
      if (!this.#state.enabled) {
        this.#closeHold(hold, () => ({ kind: 'original' }));
        return;
      }
      hold.early = false;
    }
    if (this.#bridgeGone) {
      this.#closeHold(hold, () => NOTHING);
      return;
    }
    try {
      this.#send({ kind: 'hold', hold: { id: hold.id, surface, photos } });
    } catch {
      this.#closeHold(hold, () => NOTHING); // a file that does not clone
    }
    if (this.#port === null) {
      setTimer(this.#bridgeTimeout, () => {
        if (this.#port === null) this.#onBridgeGone();
      });
    }
  }

  #leaveHold(hold: OpenHold): void {
    hold.waiting -= 1;
    if (hold.waiting > 0 || !this.#holds.has(hold.id)) return;
    this.#closeHold(hold, () => NOTHING);
    this.#send({ kind: 'drop', hold: hold.id });
  }

  #applyVerdict(file: Blob, verdict: Verdict, print: Fingerprint): Outcome {
    if (verdict.kind === 'original') {
      this.allowedBytes.addReleased(file, print);
      return file;
    }
    if (verdict.kind !== 'protected' || !isBlob(verdict.file) || sizeOf(verdict.file) === 0) return null;
    this.allowedBytes.rememberProtected(print, verdict.file);
    return this.#protectedCopy(file, verdict.file);
  }

  #protectedCopy(file: Blob, bytes: Blob): Blob {
    const dressed = withMetadataOf(file, bytes);
    this.allowedBytes.addProtected(dressed);
    return dressed;
  }

  /** One file that a site asks for by itself; those asked for at about the same time become one hold. */
  async settleOne(surface: UploadSurface, file: Blob): Promise<Outcome> {
    const group = this.#batches.get(surface) ?? this.#startBatch(surface);
    const place = group.files.length;
    group.files[place] = file;
    return (await group.settled)[place] ?? null;
  }

  #startBatch(surface: UploadSurface): { files: Blob[]; settled: Promise<Outcome[]> } {
    const files: Blob[] = [];
    const settled = new Promise<void>((resolve) => {
      setTimer(BATCH_WINDOW, resolve);
    }).then(() => {
      this.#batches.delete(surface);
      return this.settle(surface, files).outcomes;
    });
    const group = { files, settled };
    this.#batches.set(surface, group);
    return group;
  }
}
