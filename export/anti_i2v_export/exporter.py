"""`export_surrogate` and `check_export`: a surrogate by name in, a verified artifact out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from anti_i2v.engines.artifacts import LPIPS, SHARED_GRAPHS, Artifact, Graph, read_artifact
from anti_i2v.engines.torch_engine import LPIPS_WEIGHTS
from anti_i2v.errors import RecipeError, SurrogateError
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.paths import find_weights, home
from anti_i2v.recipes import Recipe, for_encoders, hook_points, load_recipe, recipe_names
from anti_i2v.surrogates.base import Surrogate
from anti_i2v.surrogates.catalogue import STUDENT, SmallVideoModelEntry, StudentEntry, exportable, resolve
from anti_i2v.surrogates.info import SurrogateInfo
from anti_i2v_export.graphs import GraphSpec, Tensors, lpips_graphs, shared_graphs, surrogate_graphs
from anti_i2v_export.verify import real_samples
from anti_i2v_export.writer import Subject, check_artifact, write_artifact

__all__ = ["check_export", "default_folder", "export_surrogate"]


def default_folder(name: str) -> Path:
    """Where the ONNX engine looks for a known surrogate.

    Raises:
        SurrogateError: it is none that has such a place.
    """
    if name == STUDENT or name not in (*exportable(), LPIPS):
        raise SurrogateError(f"{name} has no place of its own: say where with -o DIR")
    return home() / "onnx" / name


def export_surrogate(
    surrogate: str | Path | Surrogate,
    output: str | Path | None = None,
    *,
    recipes: Sequence[str | Recipe] | None = None,
    half: bool = False,
    overwrite: bool = False,
    progress: Callable[[Graph], None] | None = None,
) -> Artifact:
    """Export a surrogate, and verify it against torch; an export that fails leaves nothing behind.

    Args:
        surrogate: a name or folder as in `anti-i2v surrogates`, "lpips", "parts", or a loaded one.
        output: the directory to make; None: where the ONNX engine looks for it.
        recipes: whose losses, spaces and algorithms are exported; None: `default_recipes`.
        half: store the weights as fp16.
        overwrite: replace an artifact that is there.
        progress: called after each graph.

    Raises:
        SurrogateError: it is unknown, not at hand or does not export.
        RecipeError: an unknown recipe.
        OutputError: the directory exists or cannot be written.
    """
    wanted = default_recipes() if recipes is None else [load_recipe(recipe) for recipe in recipes]
    subject, drafts, context = _subject(surrogate, wanted, skip=recipes is None)
    folder = default_folder(subject.info.name) if output is None else Path(output)
    return write_artifact(
        subject,
        drafts,
        folder,
        real_samples(subject.multiple),
        half=half,
        context=context,
        overwrite=overwrite,
        progress=progress,
    )


def default_recipes() -> list[Recipe]:
    """Every shipped recipe that takes steps on encoders, and the dual space on balanced's loss and algorithm."""
    shipped = [recipe for recipe in map(load_recipe, recipe_names(denoisers=False)) if recipe.steps]
    return [*shipped, load_recipe("balanced", spaces=["lab", "dct"])]


def check_export(
    folder: str | Path, surrogate: str | Path | Surrogate | None = None, recipes: Sequence[str | Recipe] = ()
) -> Artifact:
    """Verify an artifact again, against the surrogate that it was exported from.

    Args:
        surrogate: its weights, by name or folder; None takes the name in the sidecar.
        recipes: beside the default ones, whose graphs it may hold.

    Raises:
        SurrogateError: it is not what its sidecar says, its weights are not at hand, or it differs from torch.
    """
    folder = Path(folder)
    artifact = read_artifact(folder)
    wanted = [*default_recipes(), *(load_recipe(recipe) for recipe in recipes)]
    subject, drafts, _ = _subject(artifact.surrogate.name if surrogate is None else surrogate, wanted, skip=True)
    if subject.info.fingerprint != artifact.surrogate.fingerprint:
        raise SurrogateError(
            f"{folder} was exported from other weights (fingerprint {artifact.surrogate.fingerprint[:8]}..., "
            f"not {subject.info.fingerprint[:8]}...): export it again"
        )
    return check_artifact(folder, drafts, real_samples(subject.multiple))


def _subject(
    surrogate: str | Path | Surrogate, recipes: Sequence[Recipe], skip: bool
) -> tuple[Subject, Iterator[GraphSpec], Tensors]:
    """What is exported. `skip`: leave out recipes that look through a decoder where there is none."""
    if surrogate == SHARED_GRAPHS:
        return Subject(info=_own(SHARED_GRAPHS, "Parts")), shared_graphs(load_recipe("balanced")), {}
    if surrogate == LPIPS:
        weights = find_weights(LPIPS_WEIGHTS)
        if weights is None:
            raise SurrogateError(f"no LPIPS weights here: put {LPIPS_WEIGHTS} into the folder that ANTI_I2V_HOME names")
        from anti_i2v.surrogates.autoencoders import fingerprint

        info = SurrogateInfo(
            name=LPIPS, kind="Lpips", source=weights.name, fingerprint=fingerprint(weights), licence="BSD-2-Clause"
        )
        return Subject(info=info), lpips_graphs(Lpips.load(weights)), {}
    loaded = surrogate if isinstance(surrogate, Surrogate) else _load(surrogate, recipes)
    if skip and not loaded.decodes:
        recipes = [recipe for recipe in recipes if not recipe.terms.decoded]
    if not loaded.denoises:
        recipes = [for_encoders(recipe) for recipe in recipes]
    elif skip:  # of the shipped recipes, those that take steps on it
        recipes = [recipe for recipe in recipes if loaded.info.name in recipe.video_models]
    return Subject.of(loaded), surrogate_graphs(loaded, recipes, _lpips(recipes)), dict(loaded.context)


def _load(name: str | Path, recipes: Sequence[Recipe]) -> Surrogate:
    for recipe in recipes:
        if recipe.needs_denoiser:
            raise RecipeError(
                f"recipe {recipe.name} needs a whole video model, and the ONNX engine runs encoders alone"
            )
    entry = resolve(name)
    if isinstance(entry, SmallVideoModelEntry):
        mine = [recipe for recipe in recipes if entry.name in recipe.video_models]
        return entry.load(hooks=tuple(dict.fromkeys(hook for recipe in mine for hook in hook_points(recipe))))
    if entry.is_video_model:
        raise SurrogateError(
            f"{name} is a whole video model: the ONNX engine runs encoders alone, so export its autoencoder's folder"
        )
    layers = {layer for recipe in recipes for layer in hook_points(for_encoders(recipe))}
    return entry.load(hooks=() if isinstance(entry, StudentEntry) else tuple(sorted(layers)))


def _lpips(recipes: Sequence[Recipe]) -> Lpips | None:
    weights = find_weights(LPIPS_WEIGHTS)
    needed = any(recipe.terms.auxiliary for recipe in recipes)
    return Lpips.load(weights) if weights and needed else None


def _own(name: str, kind: str) -> SurrogateInfo:
    return SurrogateInfo(name=name, kind=kind, source="anti-i2v-sdk", fingerprint="no weights", licence="Apache-2.0")
