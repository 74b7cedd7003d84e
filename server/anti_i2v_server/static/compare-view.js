// Compares before and after: a slider, a view at actual pixels, and the amplified difference.

import { el } from "./dom.js";

const GAIN = 10;
const MAX_PIXELS = 16_000_000; // every browser supports a canvas of this size; larger photos show their centre

/** Returns an element, or null if this browser cannot decode one of the two (HEIC, TIFF). */
export async function compareView(before, after, name) {
  const left = el("img", { className: "before", src: before, alt: `${name}, before` });
  const right = el("img", { className: "after", src: after, alt: `${name}, after` });
  try {
    await Promise.all([left.decode(), right.decode()]);
  } catch {
    return null;
  }
  return new CompareView(left, right, name).element;
}

class CompareView {
  constructor(left, right, name) {
    Object.assign(this, { left, right });
    this.pictures = el("div", { className: "pictures" }, left, right);
    this.view = el("div", { className: "view" }, this.pictures);
    this.divider = el("div", { className: "divider" });
    this.frame = el("div", { className: "frame" }, this.view, this.divider,
      el("span", { className: "tag left", "aria-hidden": "true" }, "before"),
      (this.tag = el("span", { className: "tag right", "aria-hidden": "true" }, "after")));
    this.range = el("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": `Before and after of ${name}` });
    this.zoom = el("button", { type: "button", "aria-pressed": "false", onclick: () => this.toggleZoom() }, "Actual pixels");
    this.diff = el("button", { type: "button", "aria-pressed": "false", onclick: () => this.toggleDifference() }, `Difference \u00d7${GAIN}`);
    this.hint = el("p", { className: "muted", hidden: true });
    this.element = el("figure", { className: "compare" }, this.frame, this.range, el("div", { className: "buttons" }, this.zoom, this.diff), this.hint);
    this.range.addEventListener("input", () => this.draw());
    this.view.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.view);
    this.makeDraggable(this.divider, () => true);
    this.makeDraggable(this.view, () => !this.zoomed); // when zoomed, dragging scrolls
    this.draw();
  }

  get zoomed() {
    return this.frame.classList.contains("zoomed");
  }

  draw() {
    const share = Number(this.range.value) / 100;
    const x = this.view.scrollLeft + this.view.clientWidth * share;
    this.right.style.clipPath = `inset(0 0 0 ${x}px)`;
    this.divider.style.left = `${share * 100}%`;
    const shown = Math.round(share * 100);
    this.range.setAttribute("aria-valuetext", `${shown} % before, ${100 - shown} % after`);
  }

  makeDraggable(handle, enabled) {
    const move = (event) => {
      const box = this.view.getBoundingClientRect();
      this.range.value = ((event.clientX - box.left) / box.width) * 100;
      this.draw();
    };
    handle.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !enabled()) return;
      handle.setPointerCapture(event.pointerId);
      move(event);
    });
    handle.addEventListener("pointermove", (event) => handle.hasPointerCapture(event.pointerId) && move(event));
  }

  toggleZoom() {
    const on = this.frame.classList.toggle("zoomed");
    this.zoom.setAttribute("aria-pressed", String(on));
    if (on) {
      this.view.tabIndex = 0; // arrow keys scroll it
      this.view.setAttribute("role", "region");
      this.view.setAttribute("aria-label", "The photo at actual pixels");
      this.view.scrollTo((this.view.scrollWidth - this.view.clientWidth) / 2, (this.view.scrollHeight - this.view.clientHeight) / 2);
    } else for (const name of ["tabindex", "role", "aria-label"]) this.view.removeAttribute(name);
    this.draw();
  }

  toggleDifference() {
    const on = !this.canvas;
    this.diff.setAttribute("aria-pressed", String(on));
    this.frame.classList.toggle("differs", on);
    this.range.disabled = on;
    this.tag.textContent = on ? `difference \u00d7${GAIN}` : "after";
    this.hint.hidden = !on;
    if (on) {
      const { canvas, whole } = difference(this.left, this.right);
      this.canvas = canvas;
      this.pictures.append(canvas);
      this.hint.textContent = `After minus before, ${GAIN} times, around grey, including the file's encoding.${whole ? "" : " The photo is large: only its centre is shown."}`;
    } else {
      this.canvas.remove();
      this.canvas = null;
    }
  }
}

/** Returns a canvas of the photo's size; for large photos, of their centre. */
function difference(left, right) {
  const [width, height] = [left.naturalWidth, left.naturalHeight];
  const scale = Math.min(1, Math.sqrt(MAX_PIXELS / (width * height)));
  const [columns, rows] = [Math.floor(width * scale), Math.floor(height * scale)];
  const [x, y] = [Math.floor((width - columns) / 2), Math.floor((height - rows) / 2)];
  const canvas = el("canvas", { width: columns, height: rows, role: "img", "aria-label": `Difference of before and after, ${GAIN} times` });
  const target = canvas.getContext("2d");
  const strip = new OffscreenCanvas(columns, Math.min(256, rows)).getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < rows; top += 256) {
    const deep = Math.min(256, rows - top);
    const read = (image) => {
      strip.clearRect(0, 0, columns, deep);
      strip.drawImage(image, x, y + top, columns, deep, 0, 0, columns, deep);
      return strip.getImageData(0, 0, columns, deep);
    };
    const [old, pixels] = [read(left).data, read(right)];
    for (let i = 0; i < pixels.data.length; i += 1) {
      pixels.data[i] = i % 4 === 3 ? 255 : 128 + GAIN * (pixels.data[i] - old[i]); // clamped by its type
    }
    target.putImageData(pixels, 0, top);
  }
  return { canvas, whole: scale === 1 };
}
