// DOM helpers.

/** Creates an element. Properties with a hyphen, and `role`, become attributes; string children become text. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== ""));
  return element;
}

/** Returns nodes for a text in which `backticks` mark code. */
export const withCode = (text) => text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));

export const byId = (id) => document.getElementById(id);

/** Capitalises the first letter: the server's details begin in lower case. */
export const sentence = (text) => text && text[0].toUpperCase() + text.slice(1);

let announcements = 0;

/** Announces a text to screen readers. */
export function announce(text) {
  announcements += 1; // the alternating space makes a repeated text a change
  byId("announcements").textContent = text + "\u00a0".repeat(announcements % 2);
}

/** Waits for some milliseconds. Throws when `signal` is aborted. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => { clearTimeout(timer); reject(signal.reason); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", stop); resolve(); }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Downloads a blob under a name. */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
