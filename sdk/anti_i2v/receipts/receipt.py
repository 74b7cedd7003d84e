"""The receipt of a protection or check: its fields as JSON and as text."""

from __future__ import annotations

import math
import platform
from importlib.metadata import PackageNotFoundError, version

import msgspec

from anti_i2v.receipts.fields import Effect, Encoding, ReceiptFields, Survival, VersusRandom
from anti_i2v.receipts.text import as_text

__all__ = ["Effect", "Encoding", "Receipt", "Survival", "VersusRandom", "versions"]


class Receipt(ReceiptFields, frozen=True, kw_only=True):
    """The settings and the measured effects of one protection; `str(receipt)` is its text for a terminal.

    It holds no file name and no pixels. See `ReceiptFields` for its attributes.
    """

    def to_json(self) -> bytes:
        """Indented JSON, camelCase, UTF-8."""
        return msgspec.json.format(msgspec.json.encode(_finite(msgspec.to_builtins(self))), indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Receipt:
        """Read a receipt, also of an earlier version. Raises msgspec.ValidationError for anything else."""
        found = msgspec.json.decode(data)
        if isinstance(found, dict):
            for effect in found.get("effects") or ():
                for pair in effect.values() if isinstance(effect, dict) else ():
                    _restore_infinity(pair)
        return msgspec.convert(found, cls)

    def __str__(self) -> str:
        return as_text(self)


def _finite(value: object) -> object:
    """Replace infinite numbers by None: JSON has none, and equal photos have no PSNR."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _restore_infinity(pair: object) -> None:
    """Undo `_finite` in a decoded `VersusRandom`."""
    if isinstance(pair, dict):
        pair.update({name: math.inf for name in ("protected", "random") if name in pair and pair[name] is None})


def versions(libraries: tuple[str, ...] = ()) -> dict[str, str]:
    """Versions of everything that a receipt's numbers depend on: this package and the engine's libraries."""
    found = {"python": platform.python_version()}
    for name in ("anti-i2v-sdk", *libraries, "pillow", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            if name not in libraries:  # run from a checkout that was never installed
                found[name] = "unknown"
    return found
