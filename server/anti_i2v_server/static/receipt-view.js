// The receipt on the page: the count, what it means, every number.

import { el, marked, save } from "./dom.js";
import { MEASURED_ON, MEASURES, VIDEO_MODELS, changeName, clearlyMore, facts, headline, isWeak, number, percent, shiftAfter, warnings } from "./receipt-text.js";

/** An element. `labels`: preset -> its name for people; `name`: of the photo, without its ending. */
export function receiptOf(receipt, labels, name) {
  const [count, sentence] = headline(receipt);
  return el(
    "section",
    { className: isWeak(receipt) ? "receipt weak" : "receipt", "aria-label": `Receipt of ${name}` },
    el("p", { className: "verdict" }, el("b", {}, count), ` ${sentence}.`),
    warnings(receipt).map((words) => el("p", { className: "notice" }, marked(words))),
    el("div", { className: "facts" }, facts(receipt, labels).map(([title, said]) =>
      el("div", {}, el("h4", {}, title), el("ul", {}, said.map((words) => el("li", {}, words)))))),
    receipt.notes.length ? el("div", {}, el("h4", {}, "Notes"), el("ul", { className: "notes" }, receipt.notes.map((note) => el("li", {}, marked(note))))) : null,
    el("p", { className: "quiet" }, MEASURED_ON, " ", VIDEO_MODELS),
    el("details", {}, el("summary", {}, "All numbers"), el("div", {}, tables(receipt, labels), saver(receipt, name))),
  );
}

function saver(receipt, name) {
  const json = new Blob([`${JSON.stringify(receipt, null, 2)}\n`], { type: "application/json" });
  return el("button", { type: "button", onclick: () => save(json, `${name}.protected.json`) }, "Download the receipt (JSON)");
}

function tables(receipt, labels) {
  return [effects(receipt), survival(receipt, labels), run(receipt)].filter(Boolean);
}

function table(caption, heads, rows, className = "") {
  return el("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": caption },
    el("table", { className },
      el("caption", {}, caption),
      heads.length ? el("thead", {}, el("tr", {}, heads.map((text) => el("th", { scope: "col" }, text)))) : null,
      el("tbody", {}, rows.map(([head, ...cells]) =>
        el("tr", {}, el("th", { scope: "row" }, head), cells.map((cell) => el("td", {}, ...[cell].flat())))))));
}

function versus(field, pair, decimals) {
  if (!pair) return "not measured";
  const random = `random ${number(pair.random, decimals)}${clearlyMore(field, pair) ? "" : ", not clearly more"}`;
  return [number(pair.protected, decimals), el("small", {}, random)];
}

function effects({ effects: found }) {
  if (!found.length) return null;
  const used = MEASURES.filter(([field]) => found.some((each) => each[field]));
  const rows = found.map((each) => [
    each.surrogate, each.role, ...used.map(([field, , decimals]) => versus(field, each[field], decimals)),
  ]);
  return el("div", {},
    table("What surrogates make of it", ["surrogate", "role", ...used.map(([, title]) => title)], rows, "versus"),
    el("ul", { className: "quiet" }, used.map(([, title, , meaning]) => el("li", {}, `${title}: ${meaning}`))));
}

function survival(receipt, labels) {
  if (!receipt.survival.length) return null;
  const rows = receipt.survival.map((row) => {
    const then = shiftAfter(receipt, row);
    const left = [percent(row.left.protected), el("small", {}, `random ${percent(row.left.random)}`)];
    return [changeName(row.change, labels), left, then ? versus("shift", then, 3) : "not measured"];
  });
  return table(`What a change leaves of the latent shift on ${receipt.survival[0].surrogate}`, ["change", "left", "shift then"], rows, "versus");
}

function run(receipt) {
  const seen = receipt.imperceptibility;
  const rows = [
    ["recipe", receipt.recipe], ["preset", receipt.preset ?? "none"], ["seed", receipt.seed],
    ["budget, in steps of 255", `${receipt.budgetSpent} spent of ${receipt.budgetAsked}`],
    ["steps taken", `${receipt.steps} of ${receipt.stepsAsked}, ended by ${receipt.stopped}`],
    ["PSNR", `${number(seen.psnr, 2)} dB`], ["SSIM", number(seen.ssim, 4)],
    ["relief on smooth areas", seen.relief === null ? "none are smooth" : `${number(seen.relief, 2)} levels`],
    ["dE2000", `${number(seen.de2000Mean, 2)} on average, 95 % below ${number(seen.de2000P95, 2)}`],
    ["share that SSIM and dE2000 saw", percent(seen.sampledShare)],
    ["working size", `${receipt.workingSize[1]} x ${receipt.workingSize[0]}`],
    ["device", `${receipt.device}, ${receipt.engine}`],
    ["seconds", Object.entries(receipt.seconds).map(([what, value]) => `${what} ${value.toFixed(1)}`).join(", ")],
    ["versions", Object.entries(receipt.versions).map(([what, value]) => `${what} ${value}`).join(", ")],
  ];
  return table("How it was made", [], rows.map(([head, value]) => [head, String(value)]));
}
