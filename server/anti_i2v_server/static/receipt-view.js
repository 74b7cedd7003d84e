// The receipt as elements: the headline, sentences, and tables of all numbers.

import { download, el, withCode } from "./dom.js";
import { MEASURED_ON, MEASURES, VIDEO_MODELS } from "./receipt-tables.js";
import { beatsControl, changeName, facts, headline, isWeak, number, percent, shiftAfter, warnings } from "./receipt-text.js";

/** Returns an element. `labels`: preset -> label. `name`: of the photo, without its extension. */
export function receiptView(receipt, labels, name) {
  const [count, sentence] = headline(receipt);
  return el(
    "section",
    { className: isWeak(receipt) ? "receipt weak" : "receipt", "aria-label": `Receipt of ${name}` },
    el("p", { className: "verdict" }, el("b", {}, count), ` ${sentence}.`),
    warnings(receipt).map((text) => el("p", { className: "notice" }, withCode(text))),
    el("div", { className: "facts" }, facts(receipt, labels).map(([title, sentences]) =>
      el("div", {}, el("h4", {}, title), el("ul", {}, sentences.map((text) => el("li", {}, text)))))),
    receipt.notes.length ? el("div", {}, el("h4", {}, "Notes"), el("ul", { className: "notes" }, receipt.notes.map((note) => el("li", {}, withCode(note))))) : null,
    el("p", { className: "muted" }, MEASURED_ON, " ", VIDEO_MODELS),
    el("details", {}, el("summary", {}, "All numbers"), el("div", {}, tables(receipt, labels), downloadButton(receipt, name))),
  );
}

function downloadButton(receipt, name) {
  const json = new Blob([`${JSON.stringify(receipt, null, 2)}\n`], { type: "application/json" });
  return el("button", { type: "button", onclick: () => download(json, `${name}.protected.json`) }, "Download the receipt (JSON)");
}

function tables(receipt, labels) {
  return [effectsTable(receipt), survivalTable(receipt, labels), runTable(receipt)].filter(Boolean);
}

function table(caption, heads, rows, className = "") {
  return el("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": caption },
    el("table", { className },
      el("caption", {}, caption),
      heads.length ? el("thead", {}, el("tr", {}, heads.map((text) => el("th", { scope: "col" }, text)))) : null,
      el("tbody", {}, rows.map(([head, ...cells]) =>
        el("tr", {}, el("th", { scope: "row" }, head), cells.map((cell) => el("td", {}, ...[cell].flat())))))));
}

function versusRandom(field, pair, decimals) {
  if (!pair) return "not measured";
  const random = `random ${number(pair.random, decimals)}${beatsControl(field, pair) ? "" : ", not clearly more"}`;
  return [number(pair.protected, decimals), el("small", {}, random)];
}

function effectsTable({ effects }) {
  if (!effects.length) return null;
  const used = MEASURES.filter(([field]) => effects.some((each) => each[field]));
  const rows = effects.map((each) => [
    each.surrogate, each.role, ...used.map(([field, , decimals]) => versusRandom(field, each[field], decimals)),
  ]);
  return el("div", {},
    table("Effect on surrogates", ["surrogate", "role", ...used.map(([, title]) => title)], rows, "versus"),
    el("ul", { className: "muted" }, used.map(([, title, , meaning]) => el("li", {}, `${title}: ${meaning}`))));
}

function survivalTable(receipt, labels) {
  if (!receipt.survival.length) return null;
  const rows = receipt.survival.map((row) => {
    const then = shiftAfter(receipt, row);
    const left = [percent(row.left.protected), el("small", {}, `random ${percent(row.left.random)}`)];
    return [changeName(row.change, labels), left, then ? versusRandom("shift", then, 3) : "not measured"];
  });
  return table(`Latent shift after each change, on ${receipt.survival[0].surrogate}`, ["change", "retained", "shift after it"], rows, "versus");
}

function runTable(receipt) {
  const seen = receipt.imperceptibility;
  const rows = [
    ["recipe", receipt.recipe], ["preset", receipt.preset ?? "none"], ["seed", receipt.seed],
    ["budget, in steps of 255", `${receipt.budgetSpent} spent of ${receipt.budgetAsked}`],
    ["steps taken", `${receipt.steps} of ${receipt.stepsAsked}, ended by ${receipt.stopped}`],
    ["PSNR", `${number(seen.psnr, 2)} dB`], ["SSIM", number(seen.ssim, 4)],
    ["relief on smooth areas", seen.relief === null ? "no smooth areas" : `${number(seen.relief, 2)} levels`],
    ["dE2000", `${number(seen.de2000Mean, 2)} on average, 95 % below ${number(seen.de2000P95, 2)}`],
    ["share measured by SSIM and dE2000", percent(seen.sampledShare)],
    ["working size", `${receipt.workingSize[1]} x ${receipt.workingSize[0]}`],
    ["device", `${receipt.device}, ${receipt.engine}`],
    ["seconds", Object.entries(receipt.seconds).map(([what, value]) => `${what} ${value.toFixed(1)}`).join(", ")],
    ["versions", Object.entries(receipt.versions).map(([what, value]) => `${what} ${value}`).join(", ")],
  ];
  return table("How it was protected", [], rows.map(([head, value]) => [head, String(value)]));
}
