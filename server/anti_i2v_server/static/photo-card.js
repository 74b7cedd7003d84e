// One photo on the page: sent, followed, shown with its receipt, saved.

import { Gone, Problem, ask, askJson, follow } from "./api.js";
import { compareOf } from "./compare-view.js";
import { announce, el, marked, pause, save, sentence } from "./dom.js";
import { receiptOf } from "./receipt-view.js";
import { headline } from "./receipt-text.js";

const TYPES = { jpg: "image/jpeg", jpeg: "image/jpeg", png: "image/png", webp: "image/webp", avif: "image/avif", tif: "image/tiff", tiff: "image/tiff", bmp: "image/bmp", heic: "image/heic", heif: "image/heif" };
const ENDINGS = { jpeg: ["jpg", "jpeg"], tiff: ["tif", "tiff"], heif: ["heic", "heif"] };
const WAIT_FOR = new Set(["/problems/full", "/problems/not-ready"]);

let sending = Promise.resolve(); // one upload at a time
const open = new Set();
setInterval(() => open.forEach((photo) => photo.tick()), 1000);
addEventListener("pagehide", () => open.forEach((photo) => photo.leave()));

export class Photo {
  /** `wishes`: gives the query of POST /v1/jobs as it is set now: who tries again may have chosen anew. `labels`: preset -> its name for people. */
  constructor(file, wishes, labels) {
    Object.assign(this, { file, wishes, labels, urls: [] });
    const point = file.name.lastIndexOf(".");
    this.name = (point > 0 ? file.name.slice(0, point) : file.name) || "photo";
    this.ending = point > 0 ? file.name.slice(point + 1).toLowerCase() : "";
    this.before = this.url(file);
    const title = `photo-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    this.thumb = el("img", { className: "thumb", alt: "", src: this.before, onerror: () => this.thumb.remove() });
    this.status = el("p", { className: "quiet" });
    this.bar = el("progress", { "aria-label": `Progress of ${file.name}` });
    this.buttons = el("div", { className: "buttons" });
    this.body = el("div", { className: "photo" });
    this.title = el("h3", { id: title, tabIndex: -1 }, file.name);
    this.element = el("li", { "aria-labelledby": title },
      el("article", { className: "photo", "aria-labelledby": title },
        el("div", { className: "head" }, this.thumb, el("div", {}, this.title, this.status), this.buttons), this.bar, this.body));
  }

  url(blob) {
    const url = URL.createObjectURL(blob);
    this.urls.push(url);
    return url;
  }

  /** From sending to the result. Never throws. */
  async run() {
    this.stopped = new AbortController();
    this.began = performance.now();
    this.id = null;
    open.add(this);
    this.body.replaceChildren();
    this.bar.hidden = false;
    this.offer(["Cancel", () => this.cancel()]);
    try {
      await this.submit();
      await this.watch();
      await this.fetch();
    } catch (error) {
      if (this.stopped.signal.aborted) this.end("Cancelled");
      else this.fail(error);
    } finally {
      open.delete(this);
    }
  }

  async submit() {
    this.at("Waiting to be sent", 0);
    const { signal } = this.stopped;
    const turn = sending.then(async () => {
      while (!signal.aborted) {
        try {
          return await this.post();
        } catch (error) {
          if (!(error instanceof Problem && WAIT_FOR.has(error.type))) throw error;
          this.at(`${error.title}: trying again by itself`, 0);
          await pause(error.retryAfter * 1000, signal);
        }
      }
      throw signal.reason;
    });
    sending = turn.catch(() => {});
    const cancelled = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
    this.id = (await Promise.race([turn, cancelled])).id;
  }

  post() {
    this.at("Sending");
    const type = this.file.type || TYPES[this.ending] || "application/octet-stream";
    const { signal } = this.stopped;
    return askJson(`/v1/jobs?${this.wishes()}`, { method: "POST", body: this.file, headers: { "content-type": type }, signal });
  }

  async watch() {
    for await (const { name, data } of follow(this.id, this.stopped.signal)) {
      if (name === "queued") this.at(data.position ? `Waiting: ${data.position} before it` : "Waiting: next in line", 0);
      else if (name === "started") this.start(data.attempt ?? 1);
      else if (name === "step") this.step(data);
      else if (name === "failed") throw new Problem(data);
      else if (name === "cancelled") this.stopped.abort();
      this.stopped.signal.throwIfAborted();
    }
  }

  start(attempt) {
    this.at(attempt > 1 ? "Protecting, started anew after a fault" : "Protecting, then measuring");
    if (attempt === 1) announce(`${this.file.name}: protecting`);
  }

  step({ step, steps }) {
    // Measuring tells nothing of itself: the bar moves without a value then.
    if (step < steps) this.at(`Step ${step} of at most ${steps}`, step / steps);
    else this.at("Measuring, beside a random change");
    if (step === Math.round(steps / 2)) announce(`${this.file.name}: half of the steps`);
  }

  async fetch() {
    this.at("Fetching");
    const { signal } = this.stopped;
    const reply = await ask(`/v1/jobs/${this.id}/result`, { headers: { accept: "image/*" }, signal });
    this.result = await reply.blob();
    const receipt = await askJson(`/v1/jobs/${this.id}/receipt`, { signal });
    this.drop(); // the server need not keep it
    await this.show(receipt);
  }

  async show(receipt) {
    const compare = await compareOf(this.before, this.url(this.result), this.name);
    const cannot = "This browser cannot show this format before and after. The protected photo can be downloaded all the same.";
    this.body.replaceChildren(compare ?? el("p", { className: "notice" }, cannot), receiptOf(receipt, this.labels, this.name));
    const size = this.result.size < 1e6 ? `${Math.ceil(this.result.size / 1e3)} kB` : `${(this.result.size / 1e6).toFixed(1)} MB`;
    this.end(`Protected in ${this.elapsed()}, ${this.result.type.replace("image/", "").toUpperCase()}, ${size}`,
      ["Download", () => save(this.result, this.savedName()), "main"], ["Remove", () => this.remove()]);
    announce(`${this.file.name} is protected. ${headline(receipt).join(" ")}.`);
  }

  savedName() {
    const format = this.result.type.replace("image/", "");
    const endings = ENDINGS[format] ?? [format];
    return `${this.name}.protected.${endings.includes(this.ending) ? this.ending : endings[0]}`;
  }

  fail(error) {
    const lost = "The server stopped answering. If it was started anew, its work on this photo is lost: try again.";
    if (error.type === "/problems/media") { // its detail is for those who send by hand
      error = { title: "Not protected", message: "This is no photo of a kind that is read here: choose a JPEG, PNG, WebP, AVIF, TIFF, BMP or HEIC file." };
    }
    const why = error instanceof Gone ? lost : error.title ? sentence(error.message) : `This page has a fault: ${error.message}`;
    this.body.replaceChildren(el("p", { className: "notice bad", role: "alert" }, marked(why)));
    this.end(error.title || "Not protected", ["Try again", () => this.run()], ["Remove", () => this.remove()]);
  }

  end(words, ...offers) {
    this.words = null;
    this.bar.hidden = true;
    this.status.textContent = words;
    this.offer(...(offers.length ? offers : [["Try again", () => this.run()], ["Remove", () => this.remove()]]));
  }

  cancel() {
    this.stopped.abort();
    this.drop();
    announce(`${this.file.name}: cancelled`);
  }

  /** Cancels the job, or drops its result. What comes of that does not matter: it would expire. */
  drop() {
    if (this.id) ask(`/v1/jobs/${this.id}`, { method: "DELETE", keepalive: true }).catch(() => {});
    this.id = null;
  }

  leave() {
    this.drop();
  }

  remove() {
    this.urls.forEach((url) => URL.revokeObjectURL(url));
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
    this.element.remove();
    (next?.querySelector("h3") ?? document.getElementById("drop-title")).focus();
    dispatchEvent(new Event("photo-removed"));
  }

  offer(...offers) {
    const had = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...offers.map(([words, onclick, className = ""]) =>
      el("button", { type: "button", className, onclick, "aria-label": `${words} ${this.file.name}` }, words)));
    if (had) this.buttons.firstElementChild.focus(); // the button that was pressed is gone
  }

  at(words, share = null) {
    this.words = words;
    if (share === null) this.bar.removeAttribute("value");
    else this.bar.value = share;
    this.tick();
  }

  elapsed() {
    const seconds = Math.round((performance.now() - this.began) / 1000);
    return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  }

  tick() {
    if (this.words) this.status.textContent = `${this.words}, ${this.elapsed()} so far`;
  }
}
