/**
 * Closed shadow roots that no script attached (`<template shadowrootmode="closed">`): nothing in the page's world can
 * see them, but a content script in the ISOLATED world can. It puts a comment inside for a moment; the page engine, which
 * was shown that comment before, asks it for its root.
 */

/** On a host: does the engine know its root? Taken as "yes" when cancelled. */
export const ROOT_KNOWN = 'anti-i2v:known';
/** On the comment, outside: remember this one. */
export const COMMENT_SHOWN = 'anti-i2v:shown';
/** On the comment, inside: look where it is. */
export const COMMENT_INSIDE = 'anti-i2v:inside';

/** What the person does first, before any pick, drop or paste in there. */
export const APPROACH_EVENTS = ['click', 'focusin', 'dragenter'];

type Opener = (element: Element) => ShadowRoot | null;

/** Chromium's way, or Firefox's; null elsewhere, and in the page's own world. */
function findOpener(): Opener | null {
  const dom = (
    globalThis as { chrome?: { dom?: { openOrClosedShadowRoot?: (element: Element) => ShadowRoot | null } } }
  ).chrome?.dom;
  if (dom?.openOrClosedShadowRoot !== undefined) {
    // It refuses elements that can have none.
    return (element) => (element instanceof HTMLElement ? (dom.openOrClosedShadowRoot?.(element) ?? null) : null);
  }
  if (!('openOrClosedShadowRoot' in Element.prototype)) return null;
  return (element) => (element as Element & { openOrClosedShadowRoot: ShadowRoot | null }).openOrClosedShadowRoot;
}

/** The ISOLATED side. */
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
    watch(root); // others may be inside
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
