/** Paste: stops the event and replays it with protected photos. Text passes unchanged. */
import type { Engine, Outcome } from '../engine';
import type { EventGate } from '../event-gate';
import { addItem, dataTransferWith } from '../files';
import { caretIn, editableAround, insertImages } from '../insert-images';
import {
  defineProperty,
  dispatch,
  filesInList,
  getter,
  isConnected,
  isElement,
  isFile,
  method,
  preventDefault,
  realmOf,
} from '../primordials';
import type { ShadowRoots } from '../shadow-roots';
import type { TrustedEvents } from '../trusted-events';
import { waitUntilReachable } from '../wait-until-reachable';

const clipboardOf = getter(ClipboardEvent.prototype, 'clipboardData');
const transferFiles = getter(DataTransfer.prototype, 'files');
const typesOf = getter(DataTransfer.prototype, 'types');
const readText = method(DataTransfer.prototype, 'getData');
const execCommand = method(Document.prototype, 'execCommand');

export class PasteEvents {
  readonly #engine: Engine;
  readonly #gate: EventGate;
  readonly #trust: TrustedEvents;
  readonly #roots: ShadowRoots;

  constructor(engine: Engine, gate: EventGate, trust: TrustedEvents, roots: ShadowRoots) {
    this.#engine = engine;
    this.#gate = gate;
    this.#trust = trust;
    this.#roots = roots;
    gate.on(['paste'], (event) => this.#intercept(event as ClipboardEvent));
  }

  #intercept(event: ClipboardEvent): boolean {
    const clipboard = clipboardOf(event);
    const files = clipboard === null ? [] : filesInList(transferFiles(clipboard));
    if (clipboard === null || !files.some((file) => this.#engine.mustHold(file))) {
      this.#engine.noticeOtherImages(files);
      return false;
    }
    const texts: [string, string][] = [];
    for (const type of typesOf(clipboard)) {
      const text = type === 'Files' ? '' : readText(clipboard, type);
      // HTML may contain the photo itself, as a data: URL or as a lone <img>.
      if (text !== '' && !(type === 'text/html' && containsPicture(text))) texts.push([type, text]);
    }
    const target = this.#roots.innermostTarget(event, null, (root) => root.activeElement);
    preventDefault(event);
    const caret = isElement(target) ? caretIn(editableAround(target)) : null;
    void this.#replay(target, files, texts, caret);
    return true;
  }

  async #replay(
    target: EventTarget | null,
    files: File[],
    texts: [string, string][],
    caret: Range | null,
  ): Promise<void> {
    const outcomes = await this.#engine.settle('paste', files).outcomes.catch((): Outcome[] => []);
    const protectedFiles: File[] = [];
    for (const outcome of outcomes) if (outcome !== null && isFile(outcome)) protectedFiles.push(outcome);
    if (protectedFiles.length === 0 && texts.length === 0) return;
    const at = isElement(target) && isConnected(target) ? target : (document.activeElement ?? document.body);
    await waitUntilReachable(() => at === document.body || at.contains(document.activeElement));
    const clipboard = dataTransferWith(at, protectedFiles);
    for (const [type, text] of texts) addItem(clipboard.items, text, type);
    const replay = new (realmOf(at).ClipboardEvent)('paste', {
      bubbles: true,
      cancelable: true,
      composed: true,
      clipboardData: clipboard,
    });
    if (replay.clipboardData !== clipboard) defineProperty(replay, 'clipboardData', { value: clipboard });
    this.#gate.markReplay(replay);
    this.#trust.wrapAttributes(this.#roots.eventPathOf(at), 'paste');
    if (dispatch(at, replay)) this.#doDefaultAction(at, protectedFiles, new Map(texts), caret);
  }

  /** The browser's action for a paste that no listener handled. */
  #doDefaultAction(
    at: HTMLElement | Element,
    protectedFiles: File[],
    texts: Map<string, string>,
    caret: Range | null,
  ): void {
    const owner = at.ownerDocument;
    const editable = editableAround(at);
    const plain = texts.get('text/plain');
    if (editable === null) {
      if (plain !== undefined) execCommand(owner, 'insertText', false, plain);
      return;
    }
    const html = texts.get('text/html');
    if (html !== undefined && insertHtml(owner, html)) return;
    if (protectedFiles.length > 0) void insertImages(editable, protectedFiles, caret);
    else if (plain !== undefined) execCommand(owner, 'insertText', false, plain);
  }
}

function containsPicture(html: string): boolean {
  return (
    /data:image\//i.test(html) ||
    /^(\s|<meta[^>]*>|<!--[^]*?-->|<\/?(html|body)>)*<img[^>]*>(\s|<!--[^]*?-->|<\/(html|body)>)*$/i.test(html)
  );
}

/** Returns false where Trusted Types forbid it. */
function insertHtml(owner: Document, html: string): boolean {
  try {
    return execCommand(owner, 'insertHTML', false, html);
  } catch {
    return false;
  }
}
