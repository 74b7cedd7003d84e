/**
 * The element that carries the overlay in a page that did not ask for it: out of reach of its scripts (closed shadow
 * root) and of its styles (`all: initial`), put back where the page removes it, raised where the page covers it.
 */
import css from './overlay.css?inline';

/** Events of the overlay are none of the page's business: its shortcuts and "click outside" must not see them. */
const CONTAINED_EVENTS = [
  ...['click', 'dblclick', 'auxclick', 'contextmenu', 'mousedown', 'mouseup', 'pointerdown', 'pointerup', 'wheel'],
  ...['keydown', 'keyup', 'keypress', 'beforeinput', 'input', 'change', 'focusin', 'focusout', 'copy', 'paste'],
  ...['touchstart', 'touchend', 'drop', 'dragover', 'cancel', 'close', 'toggle'],
];
/** Milliseconds between two tries, so that a page that fights back costs nothing. */
const RESTORE_DELAY = 300;

export class OverlayHost {
  readonly root: ShadowRoot;
  private readonly element = document.createElement('div');
  private readonly layers = new Map<HTMLElement, 'modal' | 'popover'>();
  private watcher: MutationObserver | null = null;
  private restoring = 0;

  constructor() {
    this.root = this.element.attachShadow({ mode: 'closed', delegatesFocus: false });
    applyStyles(this.root);
    for (const name of CONTAINED_EVENTS) this.root.addEventListener(name, (event) => event.stopPropagation());
  }

  /** Shows a dialog (modal) or a popover above everything. */
  open(layer: HTMLElement, how: 'modal' | 'popover'): void {
    this.root.append(layer);
    this.layers.set(layer, how);
    this.attach();
    show(layer, how);
  }

  close(layer: HTMLElement): void {
    if (!this.layers.delete(layer)) return;
    hide(layer);
    layer.remove();
    if (this.layers.size > 0) return;
    this.watcher?.disconnect();
    this.watcher = null;
    this.element.remove();
  }

  has(layer: HTMLElement): boolean {
    return this.layers.has(layer);
  }

  get focused(): Element | null {
    return this.root.activeElement;
  }

  /** Puts a dialog back on top where something of the page's lies over its middle. */
  raise(layer: HTMLElement): void {
    if (this.layers.get(layer) !== 'modal' || !this.element.isConnected) return;
    const box = layer.getBoundingClientRect();
    const hit = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    if (hit === null || hit === this.element) return;
    this.reopen(layer);
  }

  private attach(): void {
    if (!this.element.isConnected) document.documentElement.append(this.element);
    if (this.watcher !== null) return;
    this.watcher = new MutationObserver(() => this.restore());
    this.watcher.observe(document, { childList: true });
    this.watcher.observe(document.documentElement, { childList: true });
    this.watcher.observe(this.element, { attributes: true });
  }

  private restore(): void {
    if (this.restoring !== 0) return;
    this.restoring = window.setTimeout(() => {
      this.restoring = 0;
      if (this.layers.size === 0) return;
      for (const name of this.element.getAttributeNames()) this.element.removeAttribute(name);
      if (this.element.isConnected) return;
      this.watcher?.disconnect();
      this.watcher = null; // the document may have a new root
      document.documentElement.append(this.element);
      this.attach();
      for (const layer of this.layers.keys()) this.reopen(layer);
    }, RESTORE_DELAY);
  }

  private reopen(layer: HTMLElement): void {
    const how = this.layers.get(layer);
    if (how === undefined) return;
    const focused = this.focused;
    hide(layer);
    show(layer, how);
    if (focused instanceof HTMLElement) focused.focus();
  }
}

function show(layer: HTMLElement, how: 'modal' | 'popover'): void {
  if (how === 'modal') (layer as HTMLDialogElement).showModal();
  else layer.showPopover();
}

function hide(layer: HTMLElement): void {
  if (layer instanceof HTMLDialogElement) layer.close();
  else if (layer.matches(':popover-open')) layer.hidePopover();
}

function applyStyles(root: ShadowRoot): void {
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets = [sheet];
  } catch {
    // Firefox denied content scripts adopted sheets for long; it lets their <style> elements pass the page's policy.
    const style = document.createElement('style');
    style.textContent = css;
    root.append(style);
  }
}
