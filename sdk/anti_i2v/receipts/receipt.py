"""The receipt: what a protection cost, what it did, beside a random control, and what that does not mean."""

from __future__ import annotations

import math
import platform
from importlib.metadata import PackageNotFoundError, version

import msgspec

from anti_i2v.metrics.imperceptibility import Imperceptibility

__all__ = ["MARGINS", "Effect", "Encoding", "Receipt", "Survival", "VersusRandom", "beats_control", "versions"]

FORMAT_VERSION = 1


MARGINS = {"shift": 0.02, "decoded_psnr": -0.5, "decoded_lpips": 0.01, "decoded_identity": -0.02}
"""Field of Effect -> how much beyond one random control counts as more (below 0: lower is more damage). Smaller
differences come and go with the control's seed."""


class VersusRandom(msgspec.Struct, frozen=True):
    """A number for the protected photo, and the same for a random perturbation of the same PSNR."""

    protected: float
    random: float


class Effect(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one surrogate made of the photo, untransformed.

    Attributes:
        surrogate: its name.
        role: "surrogate" (tiles or steps were made on it), "held-out" (it only judges) or "gauge" (the student).
        shift: relative latent shift, 0 for none. Shift is not damage.
        decoded_psnr: dB between the decoded clean and the decoded protected photo; lower is more damage.
        decoded_lpips: LPIPS of the same pair; higher is more damage.
        decoded_identity: cosine of the faces in the same pair, 1 for the same face; lower is more damage.
    """

    surrogate: str
    role: str
    shift: VersusRandom
    decoded_psnr: VersusRandom | None = None
    decoded_lpips: VersusRandom | None = None
    decoded_identity: VersusRandom | None = None


class Survival(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How much latent shift is left after a change: shift after it divided by shift before it."""

    change: str
    surrogate: str
    retained: VersusRandom = msgspec.field(name="left")


class Encoding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the file's encoding changed, against the protected pixels.

    Attributes:
        format: of the file.
        lossless: whether the decoded file equals the protected pixels.
        perturbation_kept: least-squares share of the perturbation that is still in the decoded file, 1 for all.
        max_levels: largest difference of the decoded file to the clean photo; lossy codecs may pass the budget.
    """

    format: str
    lossless: bool
    perturbation_kept: float
    max_levels: int


class Receipt(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything that was asked, spent and measured for one photo. No file name and no pixel of it is kept.

    Attributes:
        surrogates: names of what steps were taken on; none where the draft was all.
        beats_random, compared ("checks" in JSON): `checks` in two numbers, so that whoever reads the JSON says the
            same; counted anew from the effects, whatever was given.
    """

    format_version: int = FORMAT_VERSION
    recipe: str | None
    preset: str | None
    seed: int | None
    budget_asked: int | None
    budget_spent: int
    steps: int
    steps_asked: int
    stopped: str
    surrogates: tuple[str, ...] = ()
    imperceptibility: Imperceptibility
    effects: tuple[Effect, ...] = ()
    beats_random: int = 0
    compared: int = msgspec.field(default=0, name="checks")
    survival: tuple[Survival, ...] = ()
    encoding: Encoding | None = None
    working_size: tuple[int, int]
    device: str
    engine: str = "torch"
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checks = self.checks()
        msgspec.structs.force_setattr(self, "beats_random", sum(more for _, more in checks))
        msgspec.structs.force_setattr(self, "compared", len(checks))

    def to_json(self) -> bytes:
        """Indented JSON, camelCase, UTF-8."""
        return msgspec.json.format(msgspec.json.encode(_finite(msgspec.to_builtins(self))), indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Receipt:
        """The receipt of a JSON file. Raises msgspec.ValidationError for anything else."""
        found = msgspec.json.decode(data)
        if isinstance(found, dict):  # JSON has no infinity, and equal photos have no PSNR: see `to_json`
            for effect in found.get("effects") or ():
                for pair in effect.values() if isinstance(effect, dict) else ():
                    if isinstance(pair, dict):
                        pair.update({name: math.inf for name, value in pair.items() if value is None})
        return msgspec.convert(found, cls)

    def checks(self) -> list[tuple[str, bool]]:
        """Every comparison with the random control: (what was compared, whether the protection clearly did more).

        The gauge counts only where no real encoder judged.
        """
        real = [effect for effect in self.effects if effect.role != "gauge"]
        return [
            (f"{effect.surrogate}: {field}", beats_control(field, pair))
            for effect in real or self.effects
            for field in MARGINS
            if (pair := getattr(effect, field)) is not None
        ]

    def __str__(self) -> str:
        from anti_i2v.receipts.text import as_text

        return as_text(self)


def beats_control(field: str, pair: VersusRandom) -> bool:
    """Whether the protection did more than the control, by the field's margin."""
    margin = MARGINS[field]
    difference = pair.protected - pair.random
    return difference > margin if margin > 0 else difference < margin


def _finite(value: object) -> object:
    """JSON has no infinity: equal photos have no PSNR."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def versions(libraries: tuple[str, ...] = ()) -> dict[str, str]:
    """Of everything that numbers in a receipt depend on: this package, and the engine's libraries."""
    found = {"python": platform.python_version()}
    for name in ("anti-i2v-sdk", *libraries, "pillow", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            if name not in libraries:  # run from a checkout that was never installed
                found[name] = "unknown"
    return found
