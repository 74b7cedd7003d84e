// The dialog with a pairing code for the extension.

import { requestJson } from "./api.js";
import { announce, byId } from "./dom.js";

let expiresAt = 0;
let timer = 0;

export function setUpPairingDialog() {
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
    const { code, expiresIn } = await requestJson("/v1/pair/code", { method: "POST" });
    if (!byId("code-dialog").open) return;
    expiresAt = performance.now() + expiresIn * 1000;
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
  const left = Math.max(0, Math.ceil((expiresAt - performance.now()) / 1000));
  byId("code-left").textContent = `Expires in ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
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
  } catch { // no permission, or not a secure context
    getSelection().selectAllChildren(value);
    byId("code-copy").textContent = "Selected: press Ctrl+C";
  }
}
