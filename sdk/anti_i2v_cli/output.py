"""What a command writes and shows about a pair of photos: the receipt and the preview."""

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
    from anti_i2v.receipts.receipt import Receipt

__all__ = ["Delivery"]


@dataclass(frozen=True)
class Delivery:
    """Which files were asked for beside the photo, whether files may be replaced, and whether anything is shown.

    `done` collects the files that were written, in their order.
    """

    done: list[Path]
    receipt: Path | None
    preview: Path | None
    overwrite: bool
    quiet: bool

    def check(self, sources: Sequence[Path], targets: Sequence[Path] = ()) -> None:
        """Whether every file that will be written can be: none is an input, none is written twice.

        Raises:
            OutputError: the first that cannot.
        """
        from anti_i2v.files import check_target

        if self.preview is not None and self.preview.suffix.lower() != ".png":
            raise OutputError(f"{self.preview} must end in .png: a preview is a PNG")
        taken = list(sources)
        for path in [*targets, *(extra for extra in (self.receipt, self.preview) if extra is not None)]:
            if any(_same(path, other) for other in sources):
                raise OutputError(f"{path} is the photo itself: choose another name, originals are never replaced")
            if any(_same(path, other) for other in taken):
                raise OutputError(f"{path} was given for two files: choose another name for one of them")
            check_target(path, overwrite=self.overwrite)
            taken.append(path)

    def write_receipt(self, text: bytes) -> None:
        """Write the receipt, if it was asked for."""
        if self.receipt is not None:
            from anti_i2v.files import write_atomic

            write_atomic(self.receipt, text, overwrite=self.overwrite)
            self.done.append(self.receipt)

    def show(self, receipt: Receipt) -> None:
        """Write the receipt and print its table, as far as each was asked for."""
        self.write_receipt(receipt.to_json())
        if not self.quiet:
            typer.echo(receipt)

    def draw(self, pair: Protection | tuple[Rgb8, Rgb8], *, short_side: int, engine: str, device: str) -> None:
        """Write the preview, if it was asked for. The arguments are those of `preview`."""
        if self.preview is not None:
            from anti_i2v.preview import preview

            preview(pair, self.preview, short_side=short_side, engine=engine, device=device, overwrite=self.overwrite)
            self.done.append(self.preview)


def _same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other))
