/**
 * Reveals declarative closed shadow roots (`<template shadowrootmode="closed">`) to the page engine. Nothing in the
 * MAIN world can see them, but a content script in the ISOLATED world can. It shows the engine a comment node, moves
 * the comment into the root for a moment, and the engine asks the comment for its root.
 */

/** Dispatched on a host. The engine cancels it if it knows the root. */
export const ROOT_KNOWN = 'anti-i2v:known';
/** Dispatched on the comment while it is outside the root. */
export const COMMENT_SHOWN = 'anti-i2v:shown';
/** Dispatched on the comment while it is inside the root. */
export const COMMENT_INSIDE = 'anti-i2v:inside';

/** Events that precede any pick, drop or paste by the user in a shadow tree. */
export const APPROACH_EVENTS = ['click', 'focusin', 'dragenter'];

type Opener = (element: Element) => ShadowRoot | null;

/** API of Chromium or Firefox that opens closed roots; null in the MAIN world and elsewhere. */
function findOpener(): Opener | null {
  const dom = (
    globalThis as { chrome?: { dom?: { openOrClosedShadowRoot?: (element: Element) => ShadowRoot | null } } }
  ).chrome?.dom;
  if (dom?.openOrClosedShadowRoot !== undefined) {
    // It throws for elements that cannot have a shadow root.
    return (element) => (element instanceof HTMLElement ? (dom.openOrClosedShadowRoot?.(element) ?? null) : null);
  }
  if (!('openOrClosedShadowRoot' in Element.prototype)) return null;
  return (element) => (element as Element & { openOrClosedShadowRoot: ShadowRoot | null }).openOrClosedShadowRoot;
}

/** Starts revealing closed roots. Call it in the ISOLATED world. */
export function revealClosedRoots(): void {
  const open = findOpener();
  if (open === null) return;
  const done = new WeakSet<ShadowRoot>();

  const look = (event: Event): void => {
    const host = event.composedPath()[0];
    if (!(host instanceof Element)) return;
    const root = open(host);
    if (root === null || root.mode !== 'closed' || done.has(root)) return;
    done.add(root);
    if (host.dispatchEvent(new Event(ROOT_KNOWN, { cancelable: true }))) reveal(host, root);
    watch(root); // it may contain further roots
  };

  const watch = (target: EventTarget): void => {
    for (const type of APPROACH_EVENTS) target.addEventListener(type, look, true);
  };
  watch(window);
}

function reveal(host: Element, root: ShadowRoot): void {
  const comment = document.createComment('');
  host.append(comment);
  comment.dispatchEvent(new Event(COMMENT_SHOWN));
  root.append(comment);
  comment.dispatchEvent(new Event(COMMENT_INSIDE));
  comment.remove();
}
