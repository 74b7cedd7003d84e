// The receipt in plain words.

import {
  CHANGES, DELTA_E, MARGINS, MEASURES, NOTHING_SMOOTH, PLATFORMS, RELIEF, SAME_PERSON, STILL_SAME_PERSON, WEAK,
} from "./receipt-tables.js";

export const percent = (share) => (share === null ? "all" : `${Math.round(share * 100)} %`);
/** JSON has no infinity, so a receipt holds null instead. */
export const number = (value, decimals) => (value === null ? "infinite" : value.toFixed(decimals));

/** Whether the protection clearly beat the random change: the receipt's verdict; by the margin in an older receipt. */
export function beatsControl(measure, pair) {
  if (pair.clearlyMore !== undefined) return pair.clearlyMore;
  const margin = MARGINS[measure];
  const difference = (pair.protected ?? Infinity) - (pair.random ?? Infinity);
  return margin > 0 ? difference > margin : difference < margin;
}

export const isWeak = (receipt) => receipt.beatsRandom * 2 <= receipt.checks;
const isEstimate = (receipt) => receipt.effects.length > 0 && receipt.effects.every((each) => each.role === "gauge");

/** Returns the headline in two parts: the count and the rest. */
export function headline({ beatsRandom, checks }) {
  if (checks === 0) return ["Not measured:", "no surrogate was available"];
  if (checks === 1) return ["The one check", `${beatsRandom ? "beat" : "did not beat"} a random change of the same size`];
  return [`${beatsRandom} of the ${checks} checks`, "beat a random change of the same size"];
}

/** Returns warnings to show before anything else. */
export function warnings(receipt) {
  const found = [];
  if (receipt.checks > 0 && isWeak(receipt)) found.push(WEAK);
  if (isEstimate(receipt)) {
    found.push(
      "This is an estimate by the small embedded network, because the server has no real encoder. Nothing was decoded. " +
        "`anti-i2v surrogates pull`, on the server, fetches real encoders.",
    );
  }
  const identities = receipt.effects.filter((each) => each.decodedIdentity).map((each) => each.decodedIdentity.protected);
  if (identities.length && Math.min(...identities) >= SAME_PERSON) {
    found.push(STILL_SAME_PERSON.replace("{}", Math.min(...identities).toFixed(2)));
  }
  return found;
}

/** Returns [[title, [sentence, ...]], ...]. `labels`: preset -> label. */
export function facts(receipt, labels) {
  return [
    ["Visibility", visibility(receipt)],
    ["Effect on encoders", encoderEffects(receipt)],
    [receipt.preset ? `After ${labels[receipt.preset] ?? receipt.preset}` : "After posting", survival(receipt, labels)],
    ["The file", file(receipt)],
  ].filter(([, sentences]) => sentences.length);
}

function visibility({ imperceptibility: seen, budgetSpent, budgetAsked }) {
  if (seen.psnr === null) return ["The two photos are equal."];
  const allowed = budgetAsked === null ? "" : ` (${budgetAsked} were allowed)`;
  return [
    `Smooth areas: ${seen.relief === null ? NOTHING_SMOOTH : RELIEF.find(([end]) => seen.relief <= end)[1]}.`,
    `Colour (dE2000) ${seen.de2000Mean.toFixed(1)} on average: ${DELTA_E.find(([end]) => seen.de2000Mean <= end)[1]}.`,
    `Colour values changed by at most ${budgetSpent} of 255 steps${allowed}, ${seen.meanLevels.toFixed(1)} on average (PSNR ${seen.psnr.toFixed(1)} dB).`,
  ];
}

function encoderEffects({ effects }) {
  return effects.map((each) => {
    const measured = MEASURES.filter(([field]) => each[field]);
    const won = measured.filter(([field]) => beatsControl(field, each[field])).length;
    const clearly = measured.length === 1 ? (won ? "clearly more than" : "not clearly more than") : `more in ${won} of ${measured.length} measures than`;
    const { protected: moved, random } = each.shift;
    return (
      `${each.surrogate} (${each.role}): the encoding moved by ${percent(moved)}, ${clearly} ` +
      `a random change of the same size (${percent(random)}).`
    );
  });
}

/** Returns the shift after a change, for the protected photo and for the random control. */
export function shiftAfter(receipt, row) {
  const before = receipt.effects.find((each) => each.surrogate === row.surrogate)?.shift;
  if (!before) return null;
  return { ...row.left, protected: before.protected * row.left.protected, random: before.random * row.left.random };
}

export const changeName = (change, labels) => CHANGES[change] ?? labels[change] ?? change;

function survival(receipt, labels) {
  const rows = receipt.survival.map((row) => ({ ...row, after: shiftAfter(receipt, row) })).filter((row) => row.after);
  if (!rows.length) return [];
  const chosen = rows.find((row) => row.change === (receipt.preset ?? "any"));
  const ahead = rows.filter((row) => beatsControl("shift", row.after)).length;
  const tried = rows.length === 1 ? `After ${changeName(rows[0].change, labels)}, the only change tested,` : `After ${ahead} of the ${rows.length} changes tested,`;
  const sentences = [`${tried} the shift is ${rows.length > 1 || ahead ? "still" : "no longer"} clearly more than that of a random change.`];
  if (!chosen && receipt.preset) sentences.unshift(`${labels[receipt.preset] ?? receipt.preset} itself was not measured: see the notes.`);
  if (chosen) {
    const lost = beatsControl("shift", chosen.after) ? "" : ", no longer clearly more";
    sentences.unshift(
      `${changeName(chosen.change, labels)}: a shift of ${percent(chosen.after.protected)} is left on ${chosen.surrogate}${lost} ` +
        `(random change: ${percent(chosen.after.random)}).`,
    );
  }
  return [...sentences, PLATFORMS];
}

function file({ encoding, steps, stepsAsked, stopped }) {
  const sentences = [];
  if (encoding?.lossless) sentences.push(`The ${encoding.format} file holds exactly the protected pixels.`);
  else if (encoding) {
    sentences.push(
      `The ${encoding.format} file keeps ${percent(encoding.perturbationKept)} of the change. After its lossy encoding the ` +
        `largest difference from the original is ${encoding.maxLevels} steps.`,
    );
  }
  if (stepsAsked) sentences.push(`${steps} of ${stepsAsked} steps were taken${stopped === "deadline" ? ": the deadline came first" : ""}.`);
  return sentences;
}
