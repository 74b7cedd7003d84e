"""`anti-i2v export`: surrogates as ONNX graphs, verified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anti_i2v.errors import RecipeError, SurrogateError
from anti_i2v_cli.options import Overwrite, Quiet

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
            help="Names or folders, as in `anti-i2v surrogates`; `lpips` for receipts.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="The directory to make; by default where the ONNX engine looks."
        ),
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Export what this recipe needs; may be repeated. By default all of them."),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store the weights as fp16: half the size.")] = False,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="DIR", help="Verify an artifact again instead of making one.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Export surrogates to ONNX, gradients included, for `--engine onnx`, which needs no torch."""
    from anti_i2v.recipes import load_recipe

    for name in recipe or []:
        load_recipe(name)
    if check is not None:
        _check(check, surrogates or [], recipe or [], output, quiet)
        return
    if not surrogates:
        raise RecipeError("name what to export, such as taesd, or an artifact to --check")
    if output is not None and len(surrogates) > 1:
        raise RecipeError("one directory holds one artifact: name one surrogate, or leave -o out")
    _need_tools()
    from anti_i2v_export import export_surrogate
    from anti_i2v_export.exporting import default_folder

    for name in surrogates:
        folder = default_folder(name) if output is None else output
        progress = None if quiet else _tell
        artifact = export_surrogate(name, folder, recipes=recipe, half=half, overwrite=overwrite, progress=progress)
        ctx.obj.append(folder)
        if not quiet:
            size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
            typer.echo(f"{artifact.surrogate.name}: {len(artifact.graphs)} graphs, {size:.1f} MB, in {folder}\n")


def _check(folder: Path, surrogates: Sequence[str], recipes: Sequence[str], output: Path | None, quiet: bool) -> None:
    if output is not None or len(surrogates) > 1:
        raise RecipeError("--check takes a directory, and at most one surrogate to compare it with")
    from anti_i2v.engines.artifacts import read_artifact

    read_artifact(folder)  # what is wrong with its files shows before torch is loaded
    _need_tools()
    from anti_i2v_export import check_export

    artifact = check_export(folder, surrogates[0] if surrogates else None, recipes)
    if not quiet:
        for graph in artifact.graphs:
            _tell(graph)
        typer.echo(f"{folder}: its files are those it names, and every graph agrees with torch")


def _need_tools() -> None:
    from importlib.util import find_spec

    for package, extra in (("torch", "sdk"), ("onnx", "export"), ("onnxscript", "export"), ("onnxruntime", "cpu")):
        if find_spec(package) is None:
            how = "pip install torch" if extra == "sdk" else 'pip install "anti-i2v-sdk[export,cpu]"'
            raise SurrogateError(f"exporting needs {package}, which is not installed: {how}")


def _tell(graph: Graph) -> None:
    typer.echo(f"  {graph.file:<48}{graph.nodes:>5} nodes  {_figures(graph.verification)}")


def _figures(found: Verification) -> str:
    """What was found when the graph was compared with torch."""
    said = [f"differs by {found.value_error:.0e}"]
    if found.gradient_cosine is not None and found.sign_agreement is not None:
        said.append(f"gradient cosine {found.gradient_cosine:.6f}, signs {found.sign_agreement:.2%}")
    if found.equal_levels is not None:
        said.append(f"equal levels {found.equal_levels:.2%}")
    return ", ".join(said)
