"""`anti-i2v export`: export surrogates as verified ONNX graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anti_i2v.errors import RecipeError
from anti_i2v_cli.options import Overwrite, Quiet
from anti_i2v_cli.packages import require_packages

if TYPE_CHECKING:
    from anti_i2v.engines.artifacts import Graph, Verification

__all__ = ["export"]


def export(
    ctx: typer.Context,
    surrogates: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SURROGATE]...",
            show_default=False,
            help="The models to export: names from `anti-i2v surrogates` or folders; `lpips` for receipts.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Write the artifact into this new folder; default: where the ONNX engine looks.",
        ),
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Export only what this recipe needs; repeatable. Default: all recipes."),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store the weights as fp16, at half the size.")] = False,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FOLDER", help="Verify an existing artifact instead.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Export surrogates to ONNX for `--engine onnx`.

    The graphs contain the gradients, so protecting with them needs no torch.
    """
    from anti_i2v.recipes import load_recipe

    for name in recipe or []:
        load_recipe(name)
    if check is not None:
        _check_artifact(check, surrogates or [], recipe or [], output, quiet)
        return
    if not surrogates:
        raise RecipeError("name what to export, such as taesd, or an artifact to --check")
    if output is not None and len(surrogates) > 1:
        raise RecipeError("one folder holds one artifact: name one surrogate, or leave -o out")
    _require_export_packages()
    for name in surrogates:
        ctx.obj.append(_export_one(name, output, recipe, half, overwrite, quiet))


def _export_one(
    name: str, output: Path | None, recipes: Sequence[str] | None, half: bool, overwrite: bool, quiet: bool
) -> Path:
    from anti_i2v_export import export_surrogate
    from anti_i2v_export.exporter import default_folder

    folder = output or default_folder(name)
    progress = None if quiet else _print_graph
    artifact = export_surrogate(name, folder, recipes=recipes, half=half, overwrite=overwrite, progress=progress)
    if not quiet:
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        typer.echo(f"{artifact.surrogate.name}: {len(artifact.graphs)} graphs, {size:.1f} MB, in {folder}\n")
    return folder


def _check_artifact(
    folder: Path, surrogates: Sequence[str], recipes: Sequence[str], output: Path | None, quiet: bool
) -> None:
    if output is not None or len(surrogates) > 1:
        raise RecipeError("--check takes a folder, and at most one surrogate to compare it with")
    from anti_i2v.engines.artifacts import read_artifact

    read_artifact(folder)  # refuses bad files before torch is loaded
    _require_export_packages()
    from anti_i2v_export import check_export

    artifact = check_export(folder, surrogates[0] if surrogates else None, recipes)
    if not quiet:
        for graph in artifact.graphs:
            _print_graph(graph)
        typer.echo(f"{folder}: every file has its recorded hash, and every graph agrees with torch")


def _require_export_packages() -> None:
    require_packages("exporting", ["torch"], "pip install torch")
    require_packages("exporting", ["onnx", "onnxscript", "onnxruntime"], 'pip install "anti-i2v-sdk[export,cpu]"')


def _print_graph(graph: Graph) -> None:
    typer.echo(f"  {graph.file:<48}{graph.nodes:>5} nodes  {_agreement(graph.verification)}")


def _agreement(verification: Verification) -> str:
    """Describe how far a graph agrees with torch."""
    parts = [f"differs by {verification.value_error:.0e}"]
    if verification.gradient_cosine is not None and verification.sign_agreement is not None:
        parts.append(f"gradient cosine {verification.gradient_cosine:.6f}, signs {verification.sign_agreement:.2%}")
    if verification.equal_levels is not None:
        parts.append(f"equal levels {verification.equal_levels:.2%}")
    return ", ".join(parts)
