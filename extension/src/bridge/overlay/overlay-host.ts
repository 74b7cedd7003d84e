/**
 * Host element of the overlay in a page. A closed shadow root keeps the page's scripts out, `all: initial` its styles.
 * The host is restored if the page removes it and raised if the page covers it.
 */
import css from './overlay.css?inline';

/** Events that stay in the overlay: shortcuts and "click outside" handlers of the page must not see them. */
const CONTAINED_EVENTS = [
  ...['click', 'dblclick', 'auxclick', 'contextmenu', 'mousedown', 'mouseup', 'pointerdown', 'pointerup', 'wheel'],
  ...['keydown', 'keyup', 'keypress', 'beforeinput', 'input', 'change', 'focusin', 'focusout', 'copy', 'paste'],
  ...['touchstart', 'touchend', 'drop', 'dragover', 'cancel', 'close', 'toggle'],
];
/** Milliseconds between two restores, so that a page that keeps removing the host costs little. */
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

  /** Puts a dialog back on top if an element of the page covers its centre. */
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
    // Older Firefox versions deny adopted style sheets to content scripts, but exempt their <style> elements from CSP.
    const style = document.createElement('style');
    style.textContent = css;
    root.append(style);
  }
}
