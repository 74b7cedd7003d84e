// The page: pairing, settings, and photos that are dropped, pasted or chosen.

import { Problem, pair, request, requestJson, server, token } from "./api.js";
import { byId, el, pause, sentence, withCode } from "./dom.js";
import { setUpPairingDialog } from "./pairing-dialog.js";
import { PhotoCard } from "./photo-card.js";
import { TYPES } from "./photo-types.js";

let recipes = [];
let presets = [];

byId("host").textContent = `this server (${location.host})`;
byId("files").accept = [...new Set(Object.values(TYPES))].join();
setUpPairingDialog();
setUpPairing();
setUpDropping();
setUpSettings();
setUpReachability();
start(takeCode());

// Pairing

/** Returns the code of the terminal's link, and removes it from the address bar and the history. */
function takeCode() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code !== null) history.replaceState(null, "", location.pathname);
  return code;
}

async function start(code) {
  if (token.get()) { // already paired: the code stays valid for another client
    const problem = await enter();
    if (problem === null) return;
    if (!code) return showPairing(problem);
  }
  if (!code) return showPairing("");
  await authenticate(() => pair(code));
}

async function authenticate(getToken) {
  byId("pairing-problem").textContent = "";
  try {
    await getToken();
    const problem = await enter();
    if (problem !== null) showPairing(problem);
  } catch (error) {
    showPairing(error.message);
  }
}

function showPairing(problem) {
  byId("workspace").hidden = byId("pair-extension").hidden = byId("forget").hidden = true;
  byId("pairing").hidden = false;
  byId("pairing-problem").replaceChildren(...withCode(sentence(problem)));
  byId("code-dialog").close();
  byId("readiness").textContent = "";
  if (problem) byId("code").focus();
}

/** Shows the page of a paired browser. Returns null, or the problem. */
async function enter() {
  try {
    const paths = ["/v1/recipes", "/v1/presets", "/v1/surrogates"];
    showSettings(...await Promise.all(paths.map((path) => requestJson(path))));
  } catch (error) {
    return error.message;
  }
  byId("pairing").hidden = true;
  byId("workspace").hidden = byId("pair-extension").hidden = byId("forget").hidden = false;
  byId("code").value = byId("token").value = "";
  showReadiness();
  return null;
}

function setUpPairing() {
  byId("code-form").addEventListener("submit", (event) => {
    event.preventDefault();
    authenticate(() => pair(byId("code").value));
  });
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    authenticate(async () => token.set(byId("token").value.trim(), { thisTab: true }));
  });
  byId("forget").addEventListener("click", () => {
    token.forget();
    showPairing("This browser has forgotten its token. `anti-i2v tokens` on the server lists and revokes tokens.");
  });
  addEventListener("hashchange", () => {
    const code = takeCode();
    if (code !== null && !token.get()) start(code);
  });
  server.addEventListener("unpaired", ({ detail }) => showPairing(detail));
}

// The server

function setUpReachability() {
  server.addEventListener("unreachable", async () => {
    byId("unreachable").replaceChildren(...withCode("The server does not answer. Start it again with `anti-i2v serve`: this page reconnects by itself."));
    byId("readiness").textContent = "Unreachable";
    for (;;) {
      await pause(2000);
      if (await request("/health").catch(() => null)) return; // a response dispatches "reachable"
    }
  });
  server.addEventListener("reachable", () => {
    byId("unreachable").textContent = "";
    if (byId("workspace").hidden && token.get()) start(null);
    else if (token.get()) showReadiness();
  });
}

async function showReadiness() {
  for (;;) {
    try {
      const { workers } = await requestJson("/ready");
      const ready = workers.filter((each) => each.provider);
      byId("readiness").textContent = `Ready: ${ready.map((each) => each.provider.split(" ")[0]).join(", ")}`;
      return;
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 503) return;
      byId("readiness").textContent = "Loading the models";
      await pause(2000);
    }
  }
}

// Settings

function showSettings(foundRecipes, foundPresets, encoders) {
  [recipes, presets] = [foundRecipes, foundPresets];
  // Without a real encoder, steps weaken the draft (see the notes of such a receipt).
  const onlyDraft = !encoders.some((each) => each.role === "surrogate" && each.present);
  const chosen = document.querySelector("input[name=recipe]:checked")?.value ?? (onlyDraft ? "draft" : "balanced");
  const legend = byId("recipes").firstElementChild;
  byId("recipes").replaceChildren(legend, ...recipes.map(({ name, summary }) =>
    el("label", { className: "choice" },
      el("input", {
        type: "radio", name: "recipe", value: name, checked: name === chosen,
        "aria-labelledby": `name-${name}`, "aria-describedby": `about-${name}`,
      }),
      el("span", {}, el("b", { id: `name-${name}` }, name), el("span", { className: "muted", id: `about-${name}` }, summary)))));
  byId("recipe-hint").hidden = !onlyDraft;
  byId("recipe-hint").replaceChildren(
    ...withCode("This server has no real encoders. Without them, the draft is strongest. Fetch them on the server with `anti-i2v surrogates pull`."),
  );
  const undecided = byId("preset").firstElementChild;
  const preset = byId("preset").value;
  byId("preset").replaceChildren(undecided, ...presets.map(({ name, label }) => el("option", { value: name }, sentence(label))));
  byId("preset").value = preset;
  describeSettings();
}

function describeSettings() {
  const recipe = recipes.find(({ name }) => name === new FormData(byId("settings")).get("recipe"));
  byId("deadline-hint").textContent = recipe?.deadline ? `Default: ${recipe.deadline}, waiting included.` : "Default: no limit.";
  const preset = presets.find(({ name }) => name === byId("preset").value);
  const size = preset?.longEdge ? `, ${preset.longEdge} pixels at most` : "";
  const quality = preset?.quality ? `, JPEG quality ${preset.quality}` : "";
  byId("preset-hint").textContent = preset
    ? `A model of the platform${size}${quality}. Confidence: ${preset.confidence}.`
    : "The receipt then covers every known platform.";
}

function setUpSettings() {
  byId("settings").addEventListener("submit", (event) => event.preventDefault());
  byId("settings").addEventListener("change", describeSettings);
}

function jobOptions() {
  const chosen = {
    recipe: new FormData(byId("settings")).get("recipe"),
    preset: byId("preset").value,
    deadline: byId("deadline").value,
    format: byId("format").value,
    metadata: byId("metadata").checked ? "keep" : "drop",
  };
  return new URLSearchParams(Object.entries(chosen).filter(([, value]) => value));
}

// Photos

function setUpDropping() {
  const drop = byId("drop");
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  let inside = 0; // the whole page accepts drops: a photo dropped beside the box must not replace the page
  addEventListener("dragenter", (event) => { inside += 1; drop.classList.toggle("over", carriesFiles(event)); });
  addEventListener("dragleave", () => { inside -= 1; if (inside <= 0) drop.classList.remove("over"); });
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    inside = 0;
    drop.classList.remove("over");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    addPhotos(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => addPhotos(event.clipboardData.files));
  byId("files").addEventListener("change", ({ target }) => {
    addPhotos(target.files);
    target.value = ""; // so that the same photo can be chosen again
  });
  addEventListener("photo-removed", () => { byId("photos-title").hidden = !byId("photos").children.length; });
}

function addPhotos(files) {
  if (byId("workspace").hidden || !files.length) return;
  const labels = Object.fromEntries(presets.map(({ name, label }) => [name, sentence(label)]));
  byId("photos-title").hidden = false;
  const cards = [...files].map((file) => new PhotoCard(file, jobOptions, labels));
  byId("photos").prepend(...cards.map((card) => card.element));
  cards.forEach((card) => card.run());
}
