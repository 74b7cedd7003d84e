// The receipt in plain words. Tables and texts are those of anti_i2v.report and anti_i2v.receipt; a test holds them equal.

export const MARGINS = { shift: 0.02, decodedPsnr: -0.5, decodedLpips: 0.01, decodedIdentity: -0.02 };
export const SAME_PERSON = 0.68;
export const RELIEF = [
  [0.4, "next to nothing for an eye to find"],
  [0.8, "seen only by flipping between the two photos"],
  [1.2, "a faint relief, at a close look"],
  [1.6, "a relief that many people notice"],
  [Infinity, "a relief that shows plainly"],
];
export const NOTHING_SMOOTH = "the photo has none that would show it";
export const DELTA_E = [
  [1, "colours as they were, for most eyes"],
  [2, "colours differ at a close look"],
  [3.5, "colours differ side by side"],
  [Infinity, "colours differ at a glance"],
];
export const MEASURED_ON =
  "These numbers hold for the surrogates named above, on one window of this photo. A protection adds friction for " +
  "models that read photos as these do; it says nothing about models that are not listed. Latent shift is not " +
  "damage: a latent can move and still be decoded into the same picture.";
export const VIDEO_MODELS =
  "Video models with 16 or more latent channels (CogVideoX, Wan, HunyuanVideo, LTX) hardly budge when only encoders " +
  "were aimed at: do not take this as protection against them.";
export const PLATFORMS = "Presets are models of what platforms do to a photo, not the platforms.";
const CHANGES = { jpeg75: "JPEG quality 75", "half size": "half size and back", blur: "a slight blur" };
export const MEASURES = [
  ["shift", "latent shift", 3, "How far the encoding moved; higher is more."],
  ["decodedPsnr", "decoded PSNR", 1, "dB between the two decoded pictures; lower is more damage."],
  ["decodedLpips", "decoded LPIPS", 3, "Perceived difference of the two; higher is more damage."],
  ["decodedIdentity", "decoded identity", 3, `1 is the same face, one person ${SAME_PERSON} or more; lower is more damage.`],
];

export const percent = (share) => (share === null ? "all" : `${Math.round(share * 100)} %`);
/** JSON has no infinity: null. */
export const number = (value, decimals) => (value === null ? "infinite" : value.toFixed(decimals));

/** Whether the protection did more than the random change, by the measure's margin. */
export function clearlyMore(measure, pair) {
  const margin = MARGINS[measure];
  const difference = (pair.protected ?? Infinity) - (pair.random ?? Infinity);
  return margin > 0 ? difference > margin : difference < margin;
}

export const isWeak = (receipt) => receipt.beatsRandom * 2 <= receipt.checks;
const isEstimate = (receipt) => receipt.effects.length > 0 && receipt.effects.every((each) => each.role === "gauge");

/** The sentence in two parts, of which the first is the count. */
export function headline({ beatsRandom, checks }) {
  if (checks === 0) return ["Not measured:", "no surrogate was asked"];
  if (checks === 1) return ["The one check", `${beatsRandom ? "beat" : "did not beat"} a random change of the same size`];
  return [`${beatsRandom} of the ${checks} checks`, "beat a random change of the same size"];
}

/** What must be read before anything else; empty where there is nothing to warn of. */
export function warnings(receipt) {
  const found = [];
  if (receipt.checks > 0 && isWeak(receipt)) found.push("That is half of them or fewer: treat this photo as not protected.");
  if (isEstimate(receipt)) {
    found.push(
      "An estimate: no real encoder was at hand, only the embedded gauge, a small network that imitates three. Nothing " +
        "was decoded. `anti-i2v surrogates pull`, on the server, fetches real encoders.",
    );
  }
  const faces = receipt.effects.filter((each) => each.decodedIdentity).map((each) => each.decodedIdentity.protected);
  if (faces.length && Math.min(...faces) >= SAME_PERSON) {
    found.push(`Every decoder still draws the same person: the lowest identity is ${Math.min(...faces).toFixed(2)}.`);
  }
  return found;
}

/** [[title, [sentence, ...]], ...]. `labels`: preset -> its name for people. */
export function facts(receipt, labels) {
  return [
    ["What the eye sees", eye(receipt)],
    ["What encoders make of it", encoders(receipt)],
    [receipt.preset ? `After ${labels[receipt.preset] ?? receipt.preset}` : "After posting", survival(receipt, labels)],
    ["The file", file(receipt)],
  ].filter(([, sentences]) => sentences.length);
}

function eye({ imperceptibility: seen, budgetSpent, budgetAsked }) {
  if (seen.psnr === null) return ["Nothing: the two photos are equal."];
  const asked = budgetAsked === null ? "" : ` (${budgetAsked} were allowed)`;
  return [
    `Smooth areas: ${seen.relief === null ? NOTHING_SMOOTH : RELIEF.find(([end]) => seen.relief <= end)[1]}.`,
    `Colour (dE2000) ${seen.de2000Mean.toFixed(1)} on average: ${DELTA_E.find(([end]) => seen.de2000Mean <= end)[1]}.`,
    `Colour values changed by ${budgetSpent} of 255 steps at most${asked}, ${seen.meanLevels.toFixed(1)} on average (PSNR ${seen.psnr.toFixed(1)} dB).`,
  ];
}

function encoders({ effects }) {
  return effects.map((each) => {
    const made = MEASURES.filter(([field]) => each[field]);
    const won = made.filter(([field]) => clearlyMore(field, each[field])).length;
    const clearly = made.length === 1 ? (won ? "clearly more than" : "not clearly more than") : `more in ${won} of ${made.length} measures than`;
    const { protected: moved, random } = each.shift;
    return (
      `${each.surrogate} (${each.role}): its encoding moved by ${percent(moved)}, ${clearly} ` +
      `a random change of the same size (${percent(random)}).`
    );
  });
}

/** The shift that is left after a change, for the protected photo and for the random one. */
export function shiftAfter(receipt, row) {
  const before = receipt.effects.find((each) => each.surrogate === row.surrogate)?.shift;
  if (!before) return null;
  return { protected: before.protected * row.left.protected, random: before.random * row.left.random };
}

export const changeName = (change, labels) => CHANGES[change] ?? labels[change] ?? change;

function survival(receipt, labels) {
  const rows = receipt.survival.map((row) => ({ ...row, then: shiftAfter(receipt, row) })).filter((row) => row.then);
  if (!rows.length) return [];
  const here = rows.find((row) => row.change === (receipt.preset ?? "any"));
  const ahead = rows.filter((row) => clearlyMore("shift", row.then)).length;
  const tried = rows.length === 1 ? `After ${changeName(rows[0].change, labels)}, the one change that was tried,` : `After ${ahead} of the ${rows.length} changes that were tried,`;
  const said = [`${tried} it is ${rows.length > 1 || ahead ? "still" : "no longer"} clearly more than a random change.`];
  if (!here && receipt.preset) said.unshift(`${labels[receipt.preset] ?? receipt.preset} itself was not measured: see the notes.`);
  if (here) {
    const stays = clearlyMore("shift", here.then) ? "" : ", no longer clearly more";
    said.unshift(
      `${changeName(here.change, labels)}: a shift of ${percent(here.then.protected)} is left on ${here.surrogate}${stays} ` +
        `(random change: ${percent(here.then.random)}).`,
    );
  }
  return [...said, PLATFORMS];
}

function file({ encoding, steps, stepsAsked, stopped }) {
  const said = [];
  if (encoding?.lossless) said.push(`The ${encoding.format} file holds exactly the protected pixels.`);
  else if (encoding) {
    said.push(
      `The ${encoding.format} file keeps ${percent(encoding.perturbationKept)} of the change; after its lossy encoding the ` +
        `largest difference to the original is ${encoding.maxLevels} steps.`,
    );
  }
  if (stepsAsked) said.push(`${steps} of ${stepsAsked} steps were taken${stopped === "deadline" ? ": the deadline came first" : ""}.`);
  return said;
}
