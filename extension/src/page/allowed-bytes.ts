/**
 * Which bytes may leave. Two answers, by who asks: what the person brings in passes only if it is protected already;
 * what the page sends may also be what it made itself, or what the person released as it is.
 */
import { looksLikePhoto } from '../sniff-photo';
import { fingerprint, type Fingerprint } from './fingerprint';
import { bytesOf, nameOf, SafeMap, typeOf, SafeWeakMap } from './primordials';

/** Protected photos kept, so that the same one is never protected twice; the browser keeps large Blobs on disk. */
const MAX_ANSWERS = 64;
/** Characters of data: URLs that the page drew and that nobody asked about yet. */
const MAX_DRAWN_CHARACTERS = 64_000_000;

const nativeAtob = window.atob.bind(window);

export class AllowedBytes {
  readonly #objects = new SafeWeakMap<Blob, true>();
  readonly #parents = new SafeWeakMap<Blob, Blob>();
  readonly #protected = new SafeMap<string, true>();
  /** Made by the page, or released by the person: may be sent, but asks again where the person brings it in. */
  readonly #sendable = new SafeMap<string, true>();
  readonly #answers = new SafeMap<string, Blob>();
  readonly #learning = new SafeMap<Promise<void>, true>();
  /** Whether another frame of this origin may send it: a page may pick in one and send in the other. */
  isAllowedByOtherFrame: (print: Fingerprint) => Promise<boolean> = () => Promise.resolve(false);
  #drawn: string[] = [];
  #drawnLength = 0;

  /** A protected photo: this object may leave, and soon every other one with its content. */
  addProtected(blob: Blob): void {
    this.#objects.set(blob, true);
    this.#learn(blob, (print) => {
      this.#protected.set(print.whole, true);
      this.allowPrint(print);
    });
  }

  /** What the person released as it is, once: another pick of it is asked about again. */
  addReleased(blob: Blob, print: Fingerprint): void {
    this.#objects.set(blob, true);
    this.allowPrint(print);
  }

  /** Looked at, and no photo: nobody needs to look at this object again. */
  allowObject(blob: Blob): void {
    this.#objects.set(blob, true);
  }

  /** What the page made itself. */
  addPageMade(blob: Blob): void {
    this.#objects.set(blob, true);
    if (looksLikePhoto(typeOf(blob), nameOf(blob)))
      this.#learn(blob, (print) => {
        this.allowPrint(print);
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
      // Unreadable: then nobody can send it either.
    }
  }

  allowPrint(print: Fingerprint): void {
    this.#sendable.set(print.whole, true);
    for (let index = 0; index < print.prefixes.length; index += 1) {
      this.#sendable.set(`first ${print.prefixes[index] as string}`, true);
    }
  }

  /** A canvas of the page's, as text: read only when it is asked about, as many pages make one to no end. */
  addDrawing(url: string): void {
    if (url.length > MAX_DRAWN_CHARACTERS) return;
    this.#drawn.push(url);
    this.#drawnLength += url.length;
    while (this.#drawnLength > MAX_DRAWN_CHARACTERS) this.#drawnLength -= this.#drawn.shift()?.length ?? 0;
  }

  /** `child` is a part of `parent`, and may leave if that may. */
  inherit(child: Blob, parent: Blob): void {
    this.#parents.set(child, parent);
  }

  /** What it was sliced from, at the root of it. */
  sourceOf(blob: Blob): Blob {
    let source = blob;
    for (let parent = this.#parents.get(source); parent !== undefined; parent = this.#parents.get(source)) {
      source = parent;
    }
    return source;
  }

  /** Whether it may leave, as far as can be told at once: `false` means "ask about its content". */
  allows(blob: Blob): boolean {
    return this.#objects.has(blob) || this.#objects.has(this.sourceOf(blob));
  }

  /** Whether the person may bring this in as it is. */
  async isProtected(print: Fingerprint): Promise<boolean> {
    await this.#allLearnt();
    return this.#protected.has(print.whole);
  }

  /** Whether the page may send this: known as a whole, or as the beginning of something known. */
  async maySend(print: Fingerprint): Promise<boolean> {
    await this.#allLearnt();
    return this.maySendNow(print) || this.isAllowedByOtherFrame(print);
  }

  /** The same for another frame, which does its own asking. */
  async maySendHere(print: Fingerprint): Promise<boolean> {
    await this.#allLearnt();
    return this.maySendNow(print);
  }

  /** The same without waiting, for requests that cannot. */
  maySendNow(print: Fingerprint): boolean {
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
      this.allowPrint(fingerprint(bytes));
    }
  }

  /** The protected photo that this content got before. */
  protectedFor(print: Fingerprint): Blob | undefined {
    return this.#answers.get(print.whole);
  }

  rememberProtected(print: Fingerprint, answer: Blob): void {
    this.#answers.set(print.whole, answer);
    const keys = this.#answers.keys();
    if (keys.length > MAX_ANSWERS) this.#answers.delete(keys[0] as string);
  }
}
