/**
 * Attaches the event gate to shadow roots. At the window, events of a shadow tree have the host as their target, and
 * some never arrive (`change`, `submit`; in Firefox all events of a file input).
 */
import { APPROACH_EVENTS, COMMENT_INSIDE, COMMENT_SHOWN, ROOT_KNOWN } from './closed-shadow-roots';
import type { EventGate } from './event-gate';
import {
  getter,
  isDocument,
  isElement,
  isFileInput,
  isNode,
  isShadowRoot,
  listen,
  method,
  pathOf,
  preventDefault,
  rootOf,
  SafeWeakMap,
  type Realm,
} from './primordials';
import { shimMethod } from './shims';

const queryAll = method(DocumentFragment.prototype, 'querySelectorAll') as (
  root: DocumentFragment,
  selector: string,
) => NodeListOf<Element>;
const parentOf = getter(Node.prototype, 'parentNode');
const openRootOf = getter(Element.prototype, 'shadowRoot');
const hostOf = getter(ShadowRoot.prototype, 'host');

export class ShadowRoots {
  readonly #gate: EventGate;
  /** Host -> root, including closed roots. */
  readonly #roots = new SafeWeakMap<Element, ShadowRoot>();
  /** Called with each file input in the path of an approach event. */
  onApproach: (element: HTMLElement) => void = () => undefined;

  constructor(gate: EventGate) {
    this.#gate = gate;
  }

  install(realm: Realm): void {
    shimMethod<Element>(realm.Element.prototype, 'attachShadow', (native, self, args) => {
      const root = native.apply(self, args) as ShadowRoot;
      this.watchRoot(root);
      return root;
    });
  }

  /** Attaches to a window or to a root. */
  attachTo(target: EventTarget): void {
    for (const type of APPROACH_EVENTS) listen(target, type, this.#approach);
    listen(target, ROOT_KNOWN, this.#isKnown);
    listen(target, COMMENT_SHOWN, this.#shown);
    this.#gate.attachTo(target);
  }

  watchRoot(root: ShadowRoot): void {
    this.#roots.set(hostOf(root), root);
    this.attachTo(root);
  }

  readonly #approach = (event: Event): void => {
    const path = pathOf(event);
    for (let index = 0; index < path.length; index += 1) {
      const target = path[index];
      if (isShadowRoot(target) && this.#roots.get(hostOf(target)) !== target) this.watchRoot(target);
      else if (isFileInput(target)) this.onApproach(target);
    }
  };

  readonly #isKnown = (event: Event): void => {
    const host = pathOf(event)[0];
    if (isElement(host) && this.#roots.has(host)) preventDefault(event);
  };

  readonly #shown = (event: Event): void => {
    const comment = pathOf(event)[0];
    if (!isNode(comment)) return;
    listen(comment, COMMENT_INSIDE, () => {
      const root = rootOf(comment);
      if (isShadowRoot(root)) this.watchRoot(root);
    });
  };

  /** Attaches to all roots around a node, up to the document or to the top of a detached tree. */
  watchAround(node: Node): void {
    for (let at: Node = node; ;) {
      const root = rootOf(at);
      if (isDocument(root)) return;
      if (!isShadowRoot(root)) {
        this.#gate.attachTo(root);
        return;
      }
      this.watchRoot(root);
      at = hostOf(root);
    }
  }

  /** Root of this element, if known. */
  shadowOf(element: Element): ShadowRoot | null {
    return this.#roots.get(element) ?? openRootOf(element);
  }

  /**
   * Real target of an event. Inside a closed root, which hides it, this is the result of `locate` (by pointer or focus),
   * or the first element that `fits`.
   */
  innermostTarget(
    event: Event,
    fits: ((element: Element) => boolean) | null,
    locate?: (root: ShadowRoot) => Element | null,
  ): EventTarget | null {
    let target: EventTarget | null = pathOf(event)[0] ?? null;
    for (;;) {
      if (!isElement(target)) return target;
      const root = this.#roots.get(target);
      if (root === undefined) return target;
      const inside: Element | null = locate?.(root) ?? (fits === null ? null : this.#find(root, fits));
      if (inside === null || inside === target) return target;
      target = inside;
    }
  }

  #find(root: ShadowRoot, fits: (element: Element) => boolean): Element | null {
    const all = queryAll(root, '*');
    for (let index = 0; index < all.length; index += 1) {
      const element = all[index] as Element;
      if (fits(element)) return element;
      const inner = this.shadowOf(element);
      const found = inner === null ? null : this.#find(inner, fits);
      if (found !== null) return found;
    }
    return null;
  }

  /** Targets that an event dispatched on the node passes. */
  eventPathOf(node: Node): EventTarget[] {
    const line: EventTarget[] = [];
    for (let at: Node | null = node; at !== null; at = isShadowRoot(at) ? hostOf(at) : parentOf(at)) line.push(at);
    return line;
  }
}
