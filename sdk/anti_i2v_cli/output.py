"""The files that a command writes beside the photo: receipt and preview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from anti_i2v.errors import OutputError

if TYPE_CHECKING:
    from anti_i2v.arrays import Rgb8
    from anti_i2v.protector import Protection

__all__ = ["OutputFiles"]


@dataclass(frozen=True)
class OutputFiles:
    """The output options of a command, and the files it has written so far.

    Attributes:
        written: every file, in the order of writing.
        receipt, preview: where to write them; None leaves them out.
        overwrite: replace files that exist.
        quiet: print nothing.
    """

    written: list[Path]
    receipt: Path | None
    preview: Path | None
    overwrite: bool
    quiet: bool

    def check(self, sources: Sequence[Path], targets: Sequence[Path] = ()) -> None:
        """Check that every file can be written, is not an input, and is not written twice.

        Raises:
            OutputError: the first file that fails.
        """
        from anti_i2v.files import check_target

        if self.preview is not None and self.preview.suffix.lower() != ".png":
            raise OutputError(f"{self.preview} must end in .png: a preview is a PNG")
        taken = list(sources)
        for path in [*targets, *(extra for extra in (self.receipt, self.preview) if extra is not None)]:
            if any(_is_same_file(path, source) for source in sources):
                raise OutputError(f"{path} is the photo itself: choose another name, originals are never replaced")
            if any(_is_same_file(path, other) for other in taken):
                raise OutputError(f"{path} was given for two files: choose another name for one of them")
            check_target(path, overwrite=self.overwrite)
            taken.append(path)

    def write(self, path: Path, data: bytes) -> None:
        """Write a file whole or not at all. Raises OutputError."""
        from anti_i2v.files import write_atomic

        write_atomic(path, data, overwrite=self.overwrite)
        self.written.append(path)

    def write_receipt(self, data: bytes) -> None:
        """Write the receipt where `--receipt` names a file. Raises OutputError."""
        if self.receipt is not None:
            self.write(self.receipt, data)

    def write_preview(self, pair: Protection | tuple[Rgb8, Rgb8], *, short_side: int, engine: str, device: str) -> None:
        """Draw the preview where `--preview` names a file; the arguments are those of `preview`. Raises OutputError."""
        if self.preview is not None:
            from anti_i2v.preview import preview

            preview(pair, self.preview, short_side=short_side, engine=engine, device=device, overwrite=self.overwrite)
            self.written.append(self.preview)

    def show(self, text: object) -> None:
        """Print a text, except with `--quiet`."""
        if not self.quiet:
            typer.echo(text)

    def show_written(self) -> None:
        """Print the files that were written."""
        self.show(f"\nWritten: {', '.join(map(str, self.written))}")


def _is_same_file(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other))
