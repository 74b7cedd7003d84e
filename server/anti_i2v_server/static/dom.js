// Elements, and pausing.

/** An element with its properties (or attributes, where they hold a hyphen) and children; strings become text. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== ""));
  return element;
}

/** Text in which `backticks` mark code, as nodes. */
export const marked = (text) => text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));

export const byId = (id) => document.getElementById(id);

/** With a capital: the server's details begin small. */
export const sentence = (words) => words && words[0].toUpperCase() + words.slice(1);

let told = 0;

/** Says something to those who do not see the page. */
export function announce(words) {
  told += 1; // the same words again are news only where the text differs
  byId("live").textContent = words + "\u00a0".repeat(told % 2);
}

/** Milliseconds; ends early, by throwing, when `signal` is aborted. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => { clearTimeout(timer); reject(signal.reason); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", stop); resolve(); }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Lets the browser save a blob under a name. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
