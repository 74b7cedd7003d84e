// The card of one photo: uploads it, follows its job, shows and saves the result.

import { Problem, Unreachable, followJob, request, requestJson } from "./api.js";
import { compareView } from "./compare-view.js";
import { announce, download, el, pause, sentence, withCode } from "./dom.js";
import { EXTENSIONS, TYPES } from "./photo-types.js";
import { headline } from "./receipt-text.js";
import { receiptView } from "./receipt-view.js";

const RETRIED_PROBLEMS = new Set(["/problems/full", "/problems/not-ready"]);

let uploads = Promise.resolve(); // one upload at a time
const active = new Set();
setInterval(() => active.forEach((card) => card.updateStatus()), 1000);
addEventListener("pagehide", () => active.forEach((card) => card.deleteJob()));

export class PhotoCard {
  /** `jobOptions()` returns the query of POST /v1/jobs; each try takes the current settings. `labels`: preset -> label. */
  constructor(file, jobOptions, labels) {
    Object.assign(this, { file, jobOptions, labels, urls: [] });
    const dot = file.name.lastIndexOf(".");
    this.name = (dot > 0 ? file.name.slice(0, dot) : file.name) || "photo";
    this.extension = dot > 0 ? file.name.slice(dot + 1).toLowerCase() : "";
    this.before = this.makeUrl(file);
    const title = `photo-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    this.thumb = el("img", { className: "thumb", alt: "", src: this.before, onerror: () => this.thumb.remove() });
    this.status = el("p", { className: "muted" });
    this.bar = el("progress", { "aria-label": `Progress of ${file.name}` });
    this.buttons = el("div", { className: "buttons" });
    this.body = el("div", { className: "photo" });
    this.title = el("h3", { id: title, tabIndex: -1 }, file.name);
    this.element = el("li", { "aria-labelledby": title },
      el("article", { className: "photo", "aria-labelledby": title },
        el("div", { className: "head" }, this.thumb, el("div", {}, this.title, this.status), this.buttons), this.bar, this.body));
  }

  makeUrl(blob) {
    const url = URL.createObjectURL(blob);
    this.urls.push(url);
    return url;
  }

  /** Protects the photo, from the upload to the result. Never throws. */
  async run() {
    this.abort = new AbortController();
    this.startedAt = performance.now();
    this.id = null;
    active.add(this);
    this.body.replaceChildren();
    this.bar.hidden = false;
    this.setButtons(["Cancel", () => this.cancel()]);
    try {
      await this.submit();
      await this.follow();
      await this.fetchResult();
    } catch (error) {
      if (this.abort.signal.aborted) this.end("Cancelled");
      else this.fail(error);
    } finally {
      active.delete(this);
    }
  }

  async submit() {
    this.setStatus("Waiting to be sent", 0);
    const { signal } = this.abort;
    const upload = uploads.then(async () => {
      while (!signal.aborted) {
        try {
          return await this.upload();
        } catch (error) {
          if (!(error instanceof Problem && RETRIED_PROBLEMS.has(error.type))) throw error;
          this.setStatus(`${error.title}: trying again`, 0);
          await pause(error.retryAfter * 1000, signal);
        }
      }
      throw signal.reason;
    });
    uploads = upload.catch(() => {});
    const cancelled = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
    this.id = (await Promise.race([upload, cancelled])).id;
  }

  upload() {
    this.setStatus("Sending");
    const type = this.file.type || TYPES[this.extension] || "application/octet-stream";
    const { signal } = this.abort;
    return requestJson(`/v1/jobs?${this.jobOptions()}`, { method: "POST", body: this.file, headers: { "content-type": type }, signal });
  }

  async follow() {
    for await (const { name, data } of followJob(this.id, this.abort.signal)) {
      if (name === "queued") this.setStatus(data.position ? `Waiting: ${data.position} ahead` : "Waiting: next", 0);
      else if (name === "started") this.showStart(data.attempt ?? 1);
      else if (name === "step") this.showStep(data);
      else if (name === "failed") throw new Problem(data);
      else if (name === "cancelled") this.abort.abort();
      this.abort.signal.throwIfAborted();
    }
  }

  showStart(attempt) {
    this.setStatus(attempt > 1 ? "Protecting, second try after a fault" : "Protecting, then measuring");
    if (attempt === 1) announce(`${this.file.name}: protecting`);
  }

  showStep({ step, steps }) {
    // Measuring reports no progress, so the bar has no value then.
    if (step < steps) this.setStatus(`Step ${step} of at most ${steps}`, step / steps);
    else this.setStatus("Measuring, beside a random change");
    if (step === Math.round(steps / 2)) announce(`${this.file.name}: half of the steps`);
  }

  async fetchResult() {
    this.setStatus("Downloading");
    const { signal } = this.abort;
    const response = await request(`/v1/jobs/${this.id}/result`, { headers: { accept: "image/*" }, signal });
    this.result = await response.blob();
    const receipt = await requestJson(`/v1/jobs/${this.id}/receipt`, { signal });
    this.deleteJob();
    await this.showResult(receipt);
  }

  async showResult(receipt) {
    const compare = await compareView(this.before, this.makeUrl(this.result), this.name);
    const cannot = "This browser cannot display this format. You can still download the protected photo.";
    this.body.replaceChildren(compare ?? el("p", { className: "notice" }, cannot), receiptView(receipt, this.labels, this.name));
    const size = this.result.size < 1e6 ? `${Math.ceil(this.result.size / 1e3)} kB` : `${(this.result.size / 1e6).toFixed(1)} MB`;
    this.end(`Protected in ${this.elapsed()}, ${this.result.type.replace("image/", "").toUpperCase()}, ${size}`,
      ["Download", () => download(this.result, this.downloadName()), "main"], ["Remove", () => this.remove()]);
    announce(`${this.file.name} is protected. ${headline(receipt).join(" ")}.`);
  }

  downloadName() {
    const format = this.result.type.replace("image/", "");
    const extensions = EXTENSIONS[format] ?? [format];
    return `${this.name}.protected.${extensions.includes(this.extension) ? this.extension : extensions[0]}`;
  }

  fail(error) {
    const lost = "The server stopped answering. If it was restarted, its work on this photo is lost: try again.";
    if (error.type === "/problems/media") { // its detail is for API clients
      error = { title: "Not protected", message: "This type of file is not supported: choose a JPEG, PNG, WebP, AVIF, TIFF, BMP or HEIC photo." };
    }
    const reason = error instanceof Unreachable ? lost : error.title ? sentence(error.message) : `An error occurred in this page: ${error.message}`;
    this.body.replaceChildren(el("p", { className: "notice bad", role: "alert" }, withCode(reason)));
    this.end(error.title || "Not protected", ["Try again", () => this.run()], ["Remove", () => this.remove()]);
  }

  end(text, ...buttons) {
    this.statusText = null;
    this.bar.hidden = true;
    this.status.textContent = text;
    this.setButtons(...(buttons.length ? buttons : [["Try again", () => this.run()], ["Remove", () => this.remove()]]));
  }

  cancel() {
    this.abort.abort();
    this.deleteJob();
    announce(`${this.file.name}: cancelled`);
  }

  /** Cancels the job, or deletes its result. A failure does not matter: the result expires anyway. */
  deleteJob() {
    if (this.id) request(`/v1/jobs/${this.id}`, { method: "DELETE", keepalive: true }).catch(() => {});
    this.id = null;
  }

  remove() {
    this.urls.forEach((url) => URL.revokeObjectURL(url));
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
    this.element.remove();
    (next?.querySelector("h3") ?? document.getElementById("drop-title")).focus();
    dispatchEvent(new Event("photo-removed"));
  }

  setButtons(...buttons) {
    const hadFocus = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...buttons.map(([text, onclick, className = ""]) =>
      el("button", { type: "button", className, onclick, "aria-label": `${text} ${this.file.name}` }, text)));
    if (hadFocus) this.buttons.firstElementChild.focus();
  }

  setStatus(text, share = null) {
    this.statusText = text;
    if (share === null) this.bar.removeAttribute("value");
    else this.bar.value = share;
    this.updateStatus();
  }

  elapsed() {
    const seconds = Math.round((performance.now() - this.startedAt) / 1000);
    return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  }

  updateStatus() {
    if (this.statusText) this.status.textContent = `${this.statusText}, ${this.elapsed()} so far`;
  }
}
