// Before and after: a slider over both, at 100 % where wanted, and their difference ten times.

import { el } from "./dom.js";

const GAIN = 10;
const MOST = 16_000_000; // pixels of a canvas that every browser takes; larger photos show their middle

/** An element, or null where this browser cannot show one of the two (HEIC, TIFF). */
export async function compareOf(before, after, name) {
  const left = el("img", { className: "before", src: before, alt: `${name}, before` });
  const right = el("img", { className: "after", src: after, alt: `${name}, after` });
  try {
    await Promise.all([left.decode(), right.decode()]);
  } catch {
    return null;
  }
  return new Compare(left, right, name).element;
}

class Compare {
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
    this.hint = el("p", { className: "quiet", hidden: true });
    this.element = el("figure", { className: "compare" }, this.frame, this.range, el("div", { className: "buttons" }, this.zoom, this.diff), this.hint);
    this.range.addEventListener("input", () => this.draw());
    this.view.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.view);
    this.draggable(this.divider, () => true);
    this.draggable(this.view, () => !this.zoomed); // zoomed, a drag or wheel moves the picture
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

  draggable(handle, when) {
    const move = (event) => {
      const box = this.view.getBoundingClientRect();
      this.range.value = ((event.clientX - box.left) / box.width) * 100;
      this.draw();
    };
    handle.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !when()) return;
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
      this.hint.textContent = `After minus before, ${GAIN} times, around grey: what the file holds, its encoding included.${whole ? "" : " The photo is large: only its middle differs here."}`;
    } else {
      this.canvas.remove();
      this.canvas = null;
    }
  }
}

/** A canvas of the photo's size, or for large photos with grey around their middle. */
function difference(left, right) {
  const [width, height] = [left.naturalWidth, left.naturalHeight];
  const scale = Math.min(1, Math.sqrt(MOST / (width * height)));
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
