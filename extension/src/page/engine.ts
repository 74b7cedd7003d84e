/**
 * Holds photos until the bridge returns a verdict. Any failure ends as "nothing": the site gets a photo only if it is
 * protected, or if the user chose to send the original.
 */
import type { BridgeToPage, HeldPhoto, Notice, PageState, PageToBridge, Verdict } from '../messages';
import { SNIFF_BYTES, sniffImage } from '../sniff-photo';
import type { UploadSurface } from '../upload-surfaces';
import { AllowedBytes } from './allowed-bytes';
import { isOtherImage, mayBePhoto, withMetadataOf } from './files';
import { fingerprint, type Fingerprint } from './fingerprint';
import {
  SafeMap,
  bytesOf,
  isBlob,
  messageData,
  nameOf,
  onPortClose,
  onPortMessage,
  postToPort,
  setTimer,
  sizeOf,
  sliceOf,
} from './primordials';

/**
 * Milliseconds that a hold waits for a bridge that may never connect (after an update, or where browsers forbid it).
 */
const BRIDGE_TIMEOUT = 10_000;
/** Milliseconds in which files that a site reads one by one (directory entries, handles) become one hold. */
const BATCH_WINDOW = 30;

/** What the site gets for a file: the file, its protected copy, or null. */
export type Outcome = Blob | null;

export interface PendingOutcomes {
  outcomes: Promise<Outcome[]>;
  /** The outcomes are no longer needed. */
  drop: () => void;
}

/** A photo that waits for its verdict. Several picks of the same photo share one. */
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
  /** Opened before the first state arrived; released if protection turns out to be off. */
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
  /** Keyed by content. */
  readonly #pending = new SafeMap<string, PendingPhoto>();
  #count = 0;
  readonly #bridgeTimeout: number;
  readonly #batches = new SafeMap<UploadSurface, { files: Blob[]; settled: Promise<Outcome[]> }>();

  constructor(bridgeTimeout = BRIDGE_TIMEOUT) {
    this.#bridgeTimeout = bridgeTimeout;
  }

  /** Protection is off on this site. */
  get isOff(): boolean {
    return this.#state !== null && !this.#state.enabled;
  }

  get claimsTrust(): boolean {
    return this.#state?.trusted ?? true;
  }

  get refusesOtherImages(): boolean {
    return this.#state?.others === 'refuse';
  }

  /** Whether a file that the user brings in must be held, judged by its type and name. */
  mustHold(file: File): boolean {
    if (this.allowedBytes.allows(file)) return false;
    return mayBePhoto(file) || (this.refusesOtherImages && isOtherImage(file));
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
      const entry = hold.photos.get(id) as PendingPhoto;
      this.#pending.delete(entry.print.whole);
      entry.give(verdictOf(id));
    }
  }

  /** No bridge connected, or it is gone: every photo is withheld until the page is reloaded. */
  #onBridgeGone(): void {
    if (this.#bridgeGone) return;
    this.#bridgeGone = true;
    this.#unsent = [];
    for (const id of this.#holds.keys()) this.#closeHold(this.#holds.get(id) as OpenHold, () => NOTHING);
  }

  // ------------------------------------------------------------- for the upload surfaces

  notice(notice: Notice, names: string[]): void {
    if (names.length > 0) this.#send({ kind: 'notice', notice, names });
  }

  /** Notifies the user of GIF and SVG files that are sent unchanged, if the settings say so. */
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

  /** Decides about the files of one user action. `outcomes` never rejects. */
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
        const classified = await this.#classify(surface, file);
        if (classified === 'vector' || classified === 'animation') {
          others[classified].push(nameOf(file));
          outcomes[index] = this.refusesOtherImages ? null : file;
        } else if ('size' in classified) {
          outcomes[index] = classified;
        } else {
          const entry = this.#pending.get(classified.whole) ?? this.#addPhoto(hold, photos, file, classified);
          pending[index] = entry;
          join(entry.hold);
        }
      } catch {
        // Unreadable, for the site too.
      }
    }
    if (this.#state?.others !== 'pass') {
      this.notice('vector', others.vector);
      this.notice('animation', others.animation);
    }
    if (photos.length > 0) this.#openHold(hold, surface, photos);
    for (let index = 0; index < files.length; index += 1) {
      const entry = pending[index];
      if (entry !== undefined)
        outcomes[index] = this.#applyVerdict(files[index] as Blob, await entry.verdict, entry.print);
    }
    return outcomes;
  }

  /**
   * Returns the file if it may be sent unchanged, its protected copy if that is known, else its fingerprint or kind.
   */
  async #classify(surface: UploadSurface, file: Blob): Promise<Blob | Fingerprint | 'vector' | 'animation'> {
    if (this.isOff || this.allowedBytes.allows(file)) return file;
    const kind = sniffImage(await bytesOf(sliceOf(file, 0, SNIFF_BYTES)));
    if (kind === 'other') {
      this.allowedBytes.allowObject(file);
      return file;
    }
    if (kind !== 'photo') return kind;
    const print = fingerprint(await bytesOf(file));
    const passes = surface === 'network' ? this.allowedBytes.isAllowed(print) : this.allowedBytes.isProtected(print);
    if (await passes) return file;
    // A slice of an unprotected photo. Protecting the slice would produce a broken file.
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
    const entry: PendingPhoto = { verdict, give, print, hold };
    hold.photos.set(id, entry);
    this.#pending.set(print.whole, entry);
    photos[photos.length] = { id, name: nameOf(file), file };
    return entry;
  }

  #openHold(hold: OpenHold, surface: UploadSurface, photos: HeldPhoto[]): void {
    this.#holds.set(hold.id, hold);
    if (hold.waiting === 0) {
      this.#closeHold(hold, () => NOTHING); // dropped while the bytes were read
      return;
    }
    if (hold.early && this.#state !== null) {
      // The state arrived while the bytes were read.
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
      this.#closeHold(hold, () => NOTHING); // a file that cannot be cloned
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
    const copy = withMetadataOf(file, bytes);
    this.allowedBytes.addProtected(copy);
    return copy;
  }

  /** Decides about one file. Files that are requested at about the same time become one hold. */
  async settleOne(surface: UploadSurface, file: Blob): Promise<Outcome> {
    const batch = this.#batches.get(surface) ?? this.#startBatch(surface);
    const index = batch.files.length;
    batch.files[index] = file;
    return (await batch.settled)[index] ?? null;
  }

  #startBatch(surface: UploadSurface): { files: Blob[]; settled: Promise<Outcome[]> } {
    const files: Blob[] = [];
    const settled = new Promise<void>((resolve) => {
      setTimer(BATCH_WINDOW, resolve);
    }).then(() => {
      this.#batches.delete(surface);
      return this.settle(surface, files).outcomes;
    });
    const batch = { files, settled };
    this.#batches.set(surface, batch);
    return batch;
  }
}
