/**
 * Remembers which bytes may be sent. What the user brings in passes only if it is protected already; what the page
 * sends may also be its own work, or an original that the user released.
 */
import { looksLikePhoto } from '../sniff-photo';
import { fingerprint, type Fingerprint } from './fingerprint';
import { bytesOf, nameOf, SafeMap, SafeWeakMap, typeOf } from './primordials';

/** Protected photos to keep, so that none is protected twice. Browsers keep large Blobs on disk. */
const MAX_ANSWERS = 64;
/** Characters of data: URLs from canvases that are kept until the next query. */
const MAX_DRAWN_CHARACTERS = 64_000_000;

const nativeAtob = window.atob.bind(window);

export class AllowedBytes {
  readonly #objects = new SafeWeakMap<Blob, true>();
  readonly #parents = new SafeWeakMap<Blob, Blob>();
  readonly #protected = new SafeMap<string, true>();
  /** Also holds page-made and released photos: they may be sent, but are held again if the user brings them in. */
  readonly #sendable = new SafeMap<string, true>();
  readonly #answers = new SafeMap<string, Blob>();
  readonly #learning = new SafeMap<Promise<void>, true>();
  /** Whether another same-origin frame allows it: a page may pick in one frame and send in another. */
  isAllowedByOtherFrame: (print: Fingerprint) => Promise<boolean> = () => Promise.resolve(false);
  #drawn: string[] = [];
  #drawnLength = 0;

  /** Allows a protected photo: this object immediately, and its content in other objects once it is read. */
  addProtected(blob: Blob): void {
    this.#objects.set(blob, true);
    this.#learn(blob, (print) => {
      this.#protected.set(print.whole, true);
      this.allowFingerprint(print);
    });
  }

  /** Allows an original that the user released. Another pick of it is held again. */
  addReleased(blob: Blob, print: Fingerprint): void {
    this.#objects.set(blob, true);
    this.allowFingerprint(print);
  }

  /** Allows an object that is not a photo. */
  allowObject(blob: Blob): void {
    this.#objects.set(blob, true);
  }

  /** Allows what the page made itself. */
  addPageMade(blob: Blob): void {
    this.#objects.set(blob, true);
    if (looksLikePhoto(typeOf(blob), nameOf(blob)))
      this.#learn(blob, (print) => {
        this.allowFingerprint(print);
      });
  }

  #learn(blob: Blob, use: (print: Fingerprint) => void): void {
    const learning = this.#print(blob, use);
    this.#learning.set(learning, true);
    void learning.finally(() => {
      this.#learning.delete(learning);
    });
  }

  async #print(blob: Blob, use: (print: Fingerprint) => void): Promise<void> {
    try {
      use(fingerprint(await bytesOf(blob)));
    } catch {
      // Unreadable, so it cannot be sent either.
    }
  }

  allowFingerprint(print: Fingerprint): void {
    this.#sendable.set(print.whole, true);
    for (let index = 0; index < print.prefixes.length; index += 1) {
      this.#sendable.set(`first ${print.prefixes[index] as string}`, true);
    }
  }

  /** Allows the data: URL of a canvas that the page drew. Decoded only when needed: many pages draw continuously. */
  addDrawing(url: string): void {
    if (url.length > MAX_DRAWN_CHARACTERS) return;
    this.#drawn.push(url);
    this.#drawnLength += url.length;
    while (this.#drawnLength > MAX_DRAWN_CHARACTERS) this.#drawnLength -= this.#drawn.shift()?.length ?? 0;
  }

  /** Allows `child`, a part of `parent`, if `parent` is allowed. */
  inherit(child: Blob, parent: Blob): void {
    this.#parents.set(child, parent);
  }

  /** The Blob that it was originally sliced from. */
  sourceOf(blob: Blob): Blob {
    let source = blob;
    for (let parent = this.#parents.get(source); parent !== undefined; parent = this.#parents.get(source)) {
      source = parent;
    }
    return source;
  }

  /** Whether this object is allowed. If not, its content still may be. */
  allows(blob: Blob): boolean {
    return this.#objects.has(blob) || this.#objects.has(this.sourceOf(blob));
  }

  /** Whether the user may bring this in without a hold. */
  async isProtected(print: Fingerprint): Promise<boolean> {
    await this.#allLearnt();
    return this.#protected.has(print.whole);
  }

  /** Whether the page may send this: known content, or the beginning of known content. */
  async isAllowed(print: Fingerprint): Promise<boolean> {
    await this.#allLearnt();
    return this.isAllowedNow(print) || this.isAllowedByOtherFrame(print);
  }

  /** Same, for another frame: without asking further frames. */
  async isAllowedHere(print: Fingerprint): Promise<boolean> {
    await this.#allLearnt();
    return this.isAllowedNow(print);
  }

  /** Same, for requests that cannot wait. */
  isAllowedNow(print: Fingerprint): boolean {
    if (this.#has(print)) return true;
    this.#readDrawings();
    return this.#has(print);
  }

  async #allLearnt(): Promise<void> {
    for (const learning of this.#learning.keys()) await learning;
  }

  #has(print: Fingerprint): boolean {
    if (this.#sendable.has(print.whole)) return true;
    const longest = print.prefixes[print.prefixes.length - 1];
    return longest !== undefined && this.#sendable.has(`first ${longest}`);
  }

  #readDrawings(): void {
    const drawn = this.#drawn;
    this.#drawn = [];
    this.#drawnLength = 0;
    for (let index = 0; index < drawn.length; index += 1) {
      const url = drawn[index] as string;
      const text = nativeAtob(url.slice(url.indexOf(',') + 1));
      const bytes = new Uint8Array(text.length);
      for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
      this.allowFingerprint(fingerprint(bytes));
    }
  }

  /** Protected photo for this content, if there is one. */
  protectedFor(print: Fingerprint): Blob | undefined {
    return this.#answers.get(print.whole);
  }

  rememberProtected(print: Fingerprint, answer: Blob): void {
    this.#answers.set(print.whole, answer);
    const keys = this.#answers.keys();
    if (keys.length > MAX_ANSWERS) this.#answers.delete(keys[0] as string);
  }
}
