/** What a browser does by itself when a photo is pasted or dropped where text is written. */
import { method } from './primordials';

const execCommand = method(Document.prototype, 'execCommand');
const readAsUrl = method(FileReader.prototype, 'readAsDataURL');

/** The element whose content the person edits here, if any. */
export function editableAround(node: Node): HTMLElement | null {
  const element = node.nodeType === 1 ? (node as HTMLElement) : node.parentElement;
  if (element?.isContentEditable !== true) return element?.ownerDocument.designMode === 'on' ? element : null;
  let host = element;
  while (host.parentElement?.isContentEditable === true) host = host.parentElement;
  return host;
}

function readDataUrl(file: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => {
      resolve(reader.result as string);
    };
    reader.onerror = () => {
      reject(new Error('unreadable'));
    };
    readAsUrl(reader, file);
  });
}

/** Where the caret is in this element now, for later. */
export function caretIn(editable: HTMLElement | null): Range | null {
  const selection = editable?.ownerDocument.getSelection() ?? null;
  if (editable === null || selection === null || selection.rangeCount === 0) return null;
  const range = selection.getRangeAt(0);
  return editable.contains(range.startContainer) ? range.cloneRange() : null;
}

/** As pictures at the caret. A command where it works, so that it can be undone; it fires `beforeinput` and `input`. */
export async function insertImages(editable: HTMLElement, files: readonly File[], caret: Range | null): Promise<void> {
  const owner = editable.ownerDocument;
  for (const file of files) {
    if (!file.type.startsWith('image/')) continue;
    const url = await readDataUrl(file);
    if (!editable.contains(owner.activeElement)) editable.focus();
    if (caret !== null) select(owner, editable, caret);
    if (!execCommand(owner, 'insertImage', false, url)) insertByHand(editable, url, caret);
  }
}

function select(owner: Document, editable: HTMLElement, caret: Range): void {
  if (!editable.contains(caret.startContainer)) return;
  owner.getSelection()?.removeAllRanges();
  owner.getSelection()?.addRange(caret);
}

function insertByHand(editable: HTMLElement, url: string, caret: Range | null): void {
  const image = editable.ownerDocument.createElement('img');
  image.src = url;
  if (caret !== null && editable.contains(caret.startContainer)) {
    caret.deleteContents();
    caret.insertNode(image);
    caret.collapse(false);
  } else editable.append(image);
  editable.dispatchEvent(new InputEvent('input', { bubbles: true, composed: true, inputType: 'insertFromPaste' }));
}

/** A caret at this point, if that is in the element. */
export function caretAt(editable: HTMLElement, point: { x: number; y: number }): Range | null {
  const range = rangeAt(editable.ownerDocument, point);
  return range !== null && editable.contains(range.startContainer) ? range : null;
}

function rangeAt(owner: Document, { x, y }: { x: number; y: number }): Range | null {
  // The standard's way came late to Chromium, the other never to Firefox.
  const position = (owner as Partial<Document>).caretPositionFromPoint?.call(owner, x, y);
  if (position == null) return (owner as Partial<Document>).caretRangeFromPoint?.call(owner, x, y) ?? null;
  const range = owner.createRange();
  range.setStart(position.offsetNode, position.offset);
  return range;
}
