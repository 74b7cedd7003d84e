/** Inserts photos into editable content, as the browser does for a paste or drop that no listener handles. */
import { method } from './primordials';

const execCommand = method(Document.prototype, 'execCommand');
const readAsUrl = method(FileReader.prototype, 'readAsDataURL');

/** The editing host around a node, if any. */
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

/** A copy of the caret's range, if it is in the element. */
export function caretIn(editable: HTMLElement | null): Range | null {
  const selection = editable?.ownerDocument.getSelection() ?? null;
  if (editable === null || selection === null || selection.rangeCount === 0) return null;
  const range = selection.getRangeAt(0);
  return editable.contains(range.startContainer) ? range.cloneRange() : null;
}

/** Inserts images at the caret. Prefers `execCommand`, which fires events and can be undone. */
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

/** Caret range at a point, if it is in the element. */
export function caretAt(editable: HTMLElement, point: { x: number; y: number }): Range | null {
  const range = rangeAt(editable.ownerDocument, point);
  return range !== null && editable.contains(range.startContainer) ? range : null;
}

function rangeAt(owner: Document, { x, y }: { x: number; y: number }): Range | null {
  // The first is standard but new in Chromium; Firefox lacks the second.
  const position = (owner as Partial<Document>).caretPositionFromPoint?.call(owner, x, y);
  if (position == null) return (owner as Partial<Document>).caretRangeFromPoint?.call(owner, x, y) ?? null;
  const range = owner.createRange();
  range.setStart(position.offsetNode, position.offset);
  return range;
}
