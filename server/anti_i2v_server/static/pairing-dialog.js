// A code for the extension: shown, copied, counted down.

import { askJson } from "./api.js";
import { announce, byId } from "./dom.js";

let until = 0;
let timer = 0;

export function setUpCodes() {
  const dialog = byId("code-dialog");
  byId("code-server").textContent = location.origin;
  byId("pair-extension").addEventListener("click", () => { dialog.showModal(); renew(); });
  byId("code-new").addEventListener("click", renew);
  byId("code-close").addEventListener("click", () => dialog.close());
  byId("code-copy").addEventListener("click", copy);
  dialog.addEventListener("close", () => { clearInterval(timer); show(""); });
}

async function renew() {
  byId("code-problem").textContent = "";
  show("");
  try {
    const { code, expiresIn } = await askJson("/v1/pair/code", { method: "POST" });
    if (!byId("code-dialog").open) return;
    until = performance.now() + expiresIn * 1000;
    show(code);
    clearInterval(timer);
    timer = setInterval(countDown, 1000);
    countDown();
    announce(`The code is ${code.split("").join(" ")}`);
  } catch (error) {
    byId("code-problem").textContent = error.message;
  }
}

function show(code) {
  byId("code-value").textContent = code || "\u2026";
  byId("code-copy").disabled = !code;
  byId("code-copy").textContent = "Copy the code";
  byId("code-left").textContent = "";
}

function countDown() {
  const left = Math.max(0, Math.ceil((until - performance.now()) / 1000));
  byId("code-left").textContent = `Works for ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} more`;
  if (left === 0) {
    clearInterval(timer);
    show("");
    byId("code-left").textContent = "This code has expired: make a new one.";
  }
}

async function copy() {
  const value = byId("code-value");
  try {
    await navigator.clipboard.writeText(value.textContent);
    byId("code-copy").textContent = "Copied";
    announce("Copied");
  } catch { // no permission, or not a secure context: leave it selected
    getSelection().selectAllChildren(value);
    byId("code-copy").textContent = "Selected: press Ctrl+C";
  }
}
