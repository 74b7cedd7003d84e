"""Export a surrogate by name to a verified artifact, or verify an artifact again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from anti_i2v.engines.artifacts import LPIPS, SHARED_GRAPHS, Artifact, Graph, read_artifact
from anti_i2v.errors import RecipeError, SurrogateError
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.paths import LPIPS_WEIGHTS, find_weights, home
from anti_i2v.recipes import Recipe, for_encoders, hook_points, load_recipe, recipe_names
from anti_i2v.surrogates.base import Surrogate
from anti_i2v.surrogates.catalogue import STUDENT, SmallVideoModelEntry, StudentEntry, exportable, resolve
from anti_i2v.surrogates.info import SurrogateInfo
from anti_i2v_export.graphs import GraphSpec, Tensors, lpips_graphs, shared_graphs, surrogate_graphs
from anti_i2v_export.verify import photo_examples
from anti_i2v_export.writer import Subject, check_artifact, write_artifact

__all__ = ["check_export", "default_folder", "export_surrogate"]


def default_folder(name: str) -> Path:
    """Return the folder in which the ONNX engine looks for a known surrogate.

    Raises:
        SurrogateError: there is none for this name.
    """
    if name == STUDENT or name not in (*exportable(), LPIPS):
        raise SurrogateError(f"{name} has no default folder: give one with -o DIR")
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
    """Export a surrogate and verify it against torch. A failed export leaves no files behind.

    Args:
        surrogate: a name or folder as in `anti-i2v surrogates`, "lpips", "parts", or a loaded surrogate.
        output: the directory to create; None takes the default folder of the ONNX engine.
        recipes: their losses, spaces and algorithms are exported; None takes `default_recipes`.
        half: store the weights as fp16.
        overwrite: replace an existing artifact.
        progress: called after each graph.

    Raises:
        SurrogateError: the surrogate is unknown, not installed, or does not export.
        RecipeError: an unknown recipe.
        OutputError: the directory exists or cannot be written.
    """
    wanted = default_recipes() if recipes is None else [load_recipe(recipe) for recipe in recipes]
    subject, graphs, context = _plan_export(surrogate, wanted, only_suitable=recipes is None)
    folder = default_folder(subject.info.name) if output is None else Path(output)
    return write_artifact(
        subject,
        graphs,
        folder,
        photo_examples(subject.multiple),
        half=half,
        context=context,
        overwrite=overwrite,
        progress=progress,
    )


def default_recipes() -> list[Recipe]:
    """Return the shipped recipes that optimise on encoders, and `balanced` in the dual space."""
    shipped = [recipe for recipe in map(load_recipe, recipe_names(denoisers=False)) if recipe.steps]
    return [*shipped, load_recipe("balanced", spaces=["lab", "dct"])]


def check_export(
    folder: str | Path, surrogate: str | Path | Surrogate | None = None, recipes: Sequence[str | Recipe] = ()
) -> Artifact:
    """Verify an artifact again, against the surrogate that it was exported from.

    Args:
        surrogate: a name or folder; None takes the name in the sidecar.
        recipes: recipes of its graphs, in addition to `default_recipes`.

    Raises:
        SurrogateError: it differs from its sidecar or from torch, or the surrogate's weights are not installed.
    """
    folder = Path(folder)
    artifact = read_artifact(folder)
    wanted = [*default_recipes(), *(load_recipe(recipe) for recipe in recipes)]
    source = artifact.surrogate.name if surrogate is None else surrogate
    subject, graphs, _ = _plan_export(source, wanted, only_suitable=True)
    if subject.info.fingerprint != artifact.surrogate.fingerprint:
        raise SurrogateError(
            f"{folder} was exported from other weights (fingerprint {artifact.surrogate.fingerprint[:8]}..., "
            f"not {subject.info.fingerprint[:8]}...): export it again"
        )
    return check_artifact(folder, graphs, photo_examples(subject.multiple))


def _plan_export(
    surrogate: str | Path | Surrogate, recipes: Sequence[Recipe], only_suitable: bool
) -> tuple[Subject, Iterator[GraphSpec], Tensors]:
    """Return the facts, the graphs and the context to export.

    Args:
        only_suitable: skip recipes that the surrogate cannot run.
    """
    if surrogate == SHARED_GRAPHS:
        info = SurrogateInfo(
            name=SHARED_GRAPHS, kind="Parts", source="anti-i2v-sdk", fingerprint="no weights", licence="Apache-2.0"
        )
        return Subject(info=info), shared_graphs(load_recipe("balanced")), {}
    if surrogate == LPIPS:
        return _plan_lpips()
    loaded = surrogate if isinstance(surrogate, Surrogate) else _load(surrogate, recipes)
    if only_suitable and not loaded.decodes:
        recipes = [recipe for recipe in recipes if not recipe.terms.decoded]
    if not loaded.denoises:
        recipes = [for_encoders(recipe) for recipe in recipes]
    elif only_suitable:
        recipes = [recipe for recipe in recipes if loaded.info.name in recipe.video_models]
    return Subject.of(loaded), surrogate_graphs(loaded, recipes, _load_lpips(recipes)), dict(loaded.context)


def _plan_lpips() -> tuple[Subject, Iterator[GraphSpec], Tensors]:
    weights = find_weights(LPIPS_WEIGHTS)
    if weights is None:
        raise SurrogateError(f"no LPIPS weights here: put {LPIPS_WEIGHTS} into the folder that ANTI_I2V_HOME names")
    from anti_i2v.surrogates.autoencoders import fingerprint

    info = SurrogateInfo(
        name=LPIPS, kind="Lpips", source=weights.name, fingerprint=fingerprint(weights), licence="BSD-2-Clause"
    )
    return Subject(info=info), lpips_graphs(Lpips.load(weights)), {}


def _load(name: str | Path, recipes: Sequence[Recipe]) -> Surrogate:
    for recipe in recipes:
        if recipe.needs_denoiser:
            raise RecipeError(f"recipe {recipe.name} needs a whole video model, and the ONNX engine only runs encoders")
    entry = resolve(name)
    if isinstance(entry, SmallVideoModelEntry):
        suitable = [recipe for recipe in recipes if entry.name in recipe.video_models]
        return entry.load(hooks=tuple(dict.fromkeys(hook for recipe in suitable for hook in hook_points(recipe))))
    if entry.is_video_model:
        raise SurrogateError(
            f"{name} is a whole video model: the ONNX engine only runs encoders, so export its autoencoder's folder"
        )
    layers = {layer for recipe in recipes for layer in hook_points(for_encoders(recipe))}
    return entry.load(hooks=() if isinstance(entry, StudentEntry) else tuple(sorted(layers)))


def _load_lpips(recipes: Sequence[Recipe]) -> Lpips | None:
    weights = find_weights(LPIPS_WEIGHTS)
    needed = any(recipe.terms.auxiliary for recipe in recipes)
    return Lpips.load(weights) if weights and needed else None
