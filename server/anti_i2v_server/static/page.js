// The page: paired or not, what may be chosen, photos that arrive.

import { Problem, ask, askJson, pair, server, token } from "./api.js";
import { byId, el, marked, pause, sentence } from "./dom.js";
import { setUpCodes } from "./pairing-dialog.js";
import { Photo } from "./photo-card.js";

let recipes = [];
let presets = [];

byId("host").textContent = `this server (${location.host})`;
setUpCodes();
setUpPairing();
setUpDropping();
setUpSettings();
setUpServer();
start(takeCode());

// Pairing

/** The code of the link that the terminal shows; it leaves the address bar, and with it the history, at once. */
function takeCode() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code !== null) history.replaceState(null, "", location.pathname);
  return code;
}

async function start(code) {
  if (token.get()) { // a code is left for somebody else where this browser is paired already
    const why = await enter();
    if (why === null) return;
    if (!code) return locked(why);
  }
  if (!code) return locked("");
  await unlock(() => pair(code));
}

async function unlock(how) {
  byId("pairing-problem").textContent = "";
  try {
    await how();
    const why = await enter();
    if (why !== null) locked(why);
  } catch (error) {
    locked(error.message);
  }
}

function locked(why) {
  byId("studio").hidden = byId("pair-extension").hidden = byId("forget").hidden = true;
  byId("pairing").hidden = false;
  byId("pairing-problem").replaceChildren(...marked(sentence(why)));
  byId("code-dialog").close();
  byId("readiness").textContent = "";
  if (why) byId("code").focus();
}

/** Shows what paired browsers see: null, or why not. */
async function enter() {
  try {
    const [found, places, encoders] = await Promise.all(["/v1/recipes", "/v1/presets", "/v1/surrogates"].map((path) => askJson(path)));
    offerSettings(found, places, encoders);
  } catch (error) {
    return error.message;
  }
  byId("pairing").hidden = true;
  byId("studio").hidden = byId("pair-extension").hidden = byId("forget").hidden = false;
  byId("code").value = byId("token").value = "";
  tellReadiness();
  return null;
}

function setUpPairing() {
  byId("code-form").addEventListener("submit", (event) => {
    event.preventDefault();
    unlock(() => pair(byId("code").value));
  });
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    unlock(async () => token.set(byId("token").value.trim(), { thisTab: true }));
  });
  byId("forget").addEventListener("click", () => {
    token.forget();
    locked("This browser is forgotten here. `anti-i2v tokens` on the server lists and revokes tokens.");
  });
  addEventListener("hashchange", () => {
    const code = takeCode();
    if (code !== null && !token.get()) start(code);
  });
  server.addEventListener("unpaired", ({ detail }) => locked(detail));
}

// The server

function setUpServer() {
  server.addEventListener("gone", async () => {
    byId("gone").replaceChildren(...marked("The server does not answer. Is it still running? Start it again with `anti-i2v serve`, and this page goes on."));
    byId("readiness").textContent = "Not reachable";
    for (;;) {
      await pause(2000);
      const found = await ask("/health").catch(() => null); // "back" follows from an answer
      if (found) return;
    }
  });
  server.addEventListener("back", () => {
    byId("gone").textContent = "";
    if (byId("studio").hidden && token.get()) start(null);
    else if (token.get()) tellReadiness();
  });
}

async function tellReadiness() {
  for (;;) {
    try {
      const { workers } = await askJson("/ready");
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

function offerSettings(found, places, encoders) {
  [recipes, presets] = [found, places];
  // With no real encoder, steps do less than none (see the notes of such a receipt).
  const bare = !encoders.some((each) => each.role === "surrogate" && each.present);
  const usual = bare ? "draft" : "balanced";
  const chosen = document.querySelector("input[name=recipe]:checked")?.value ?? usual;
  const legend = byId("recipes").firstElementChild;
  byId("recipes").replaceChildren(legend, ...recipes.map(({ name, summary }) =>
    el("label", { className: "choice" },
      el("input", {
        type: "radio", name: "recipe", value: name, checked: name === chosen,
        "aria-labelledby": `name-${name}`, "aria-describedby": `about-${name}`,
      }),
      el("span", {}, el("b", { id: `name-${name}` }, name), el("span", { className: "quiet", id: `about-${name}` }, summary)))));
  byId("recipe-hint").hidden = !bare;
  byId("recipe-hint").replaceChildren(
    ...marked("This server has no real encoders, and without them the draft does most. `anti-i2v surrogates pull`, on the server, fetches them."),
  );
  const undecided = byId("preset").firstElementChild;
  const place = byId("preset").value;
  byId("preset").replaceChildren(undecided, ...presets.map(({ name, label }) => el("option", { value: name }, sentence(label))));
  byId("preset").value = place;
  describeSettings();
}

function describeSettings() {
  const recipe = recipes.find(({ name }) => name === new FormData(byId("settings")).get("recipe"));
  byId("deadline-hint").textContent = recipe?.deadline ? `By default ${recipe.deadline}, waiting included.` : "By default as long as it takes.";
  const preset = presets.find(({ name }) => name === byId("preset").value);
  const size = preset?.longEdge ? `, ${preset.longEdge} pixels at most` : "";
  const quality = preset?.quality ? `, JPEG quality ${preset.quality}` : "";
  byId("preset-hint").textContent = preset
    ? `A model of it, not the platform itself${size}${quality}. How sure that is: ${preset.confidence}.`
    : "The receipt then tells about all places that are known.";
}

function setUpSettings() {
  byId("settings").addEventListener("submit", (event) => event.preventDefault());
  byId("settings").addEventListener("change", describeSettings);
}

function wishes() {
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
  let inside = 0; // the whole page takes drops: a photo that misses the box must not replace the page
  addEventListener("dragenter", (event) => { inside += 1; drop.classList.toggle("over", carriesFiles(event)); });
  addEventListener("dragleave", () => { inside -= 1; if (inside <= 0) drop.classList.remove("over"); });
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    inside = 0;
    drop.classList.remove("over");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    add(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => add(event.clipboardData.files));
  byId("files").addEventListener("change", ({ target }) => {
    add(target.files);
    target.value = ""; // the same photo may be chosen again
  });
  addEventListener("photo-removed", () => { byId("photos-title").hidden = !byId("photos").children.length; });
}

function add(files) {
  if (byId("studio").hidden || !files.length) return;
  const labels = Object.fromEntries(presets.map(({ name, label }) => [name, sentence(label)]));
  byId("photos-title").hidden = false;
  const photos = [...files].map((file) => new Photo(file, wishes, labels));
  byId("photos").prepend(...photos.map((photo) => photo.element));
  photos.forEach((photo) => photo.run());
}
