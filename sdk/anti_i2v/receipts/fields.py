"""The fields of a receipt, and the verdicts of its comparisons with the random control."""

from __future__ import annotations

import msgspec

from anti_i2v.metrics.imperceptibility import Imperceptibility
from anti_i2v.receipts.tables import MARGINS

__all__ = ["Effect", "Encoding", "ReceiptFields", "Survival", "VersusRandom"]

FORMAT_VERSION = 1


class VersusRandom(msgspec.Struct, frozen=True, omit_defaults=True):
    """A number for the protected photo, and the same for a random perturbation of the same PSNR.

    Attributes:
        beats_control ("clearlyMore" in JSON): whether the protection did more than the control by the measure's
            margin. Computed by the `Effect` or receipt that holds the pair.
    """

    protected: float
    random: float
    beats_control: bool | None = msgspec.field(default=None, name="clearlyMore")


class Effect(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Effect on one surrogate, without platforms or other changes of the photo.

    Attributes:
        surrogate: its name.
        role: "surrogate" (tiles or photo were optimised on it), "held-out" (neither was) or "gauge"
            (the student).
        shift: relative latent shift, 0 for none. Shift is not damage.
        decoded_psnr: dB between the decoded clean and the decoded protected photo; lower is more damage.
        decoded_lpips: LPIPS of the same two; higher is more damage.
        decoded_identity: cosine of the faces in the same two, 1 for the same face; lower is more damage.
    """

    surrogate: str
    role: str
    shift: VersusRandom
    decoded_psnr: VersusRandom | None = None
    decoded_lpips: VersusRandom | None = None
    decoded_identity: VersusRandom | None = None

    def __post_init__(self) -> None:
        for field in MARGINS:
            if (pair := getattr(self, field)) is not None:
                msgspec.structs.force_setattr(self, field, _with_verdict(field, pair))

    @property
    def pairs(self) -> dict[str, VersusRandom]:
        """The pairs that were measured, by field."""
        return {field: pair for field in MARGINS if (pair := getattr(self, field)) is not None}


class Survival(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Latent shift after a change of the photo, divided by the shift before it.

    Attributes:
        change: a key of `SURVIVAL_CHECKS` or of `PRESETS`.
        surrogate: where the shift was measured.
        retained ("left" in JSON): its verdict compares the shifts after the change.
    """

    change: str
    surrogate: str
    retained: VersusRandom = msgspec.field(name="left")

    @property
    def left(self) -> VersusRandom:
        """Earlier name of `retained`, until 0.3."""
        return self.retained


class Encoding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Difference between the protected pixels and the file that holds them.

    Attributes:
        format: format of the file.
        lossless: whether the decoded file equals the protected pixels.
        perturbation_kept: least-squares share of the perturbation in the decoded file, 1 for all of it.
        max_levels: largest difference between the decoded file and the clean photo; lossy codecs may exceed the budget.
    """

    format: str
    lossless: bool
    perturbation_kept: float
    max_levels: int


class ReceiptFields(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The settings and the measured effects of one protection. It holds no file name and no pixels.

    Attributes:
        surrogates: names of the surrogates that the photo was optimised on; empty where no step was taken.
        beats_random, compared ("checks" in JSON): number of comparisons won, and of all. Always counted from the
            effects, whatever value was given.
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
        msgspec.structs.force_setattr(self, "beats_random", sum(won for _, won in checks))
        msgspec.structs.force_setattr(self, "compared", len(checks))
        msgspec.structs.force_setattr(self, "survival", tuple(map(self._with_survival_verdict, self.survival)))

    def checks(self) -> list[tuple[str, bool]]:
        """List every comparison with the random control: (name, whether the protection clearly did more).

        The student counts only where no real encoder measured.
        """
        real = [effect for effect in self.effects if effect.role != "gauge"]
        return [
            (f"{effect.surrogate}: {field}", bool(pair.beats_control))
            for effect in real or self.effects
            for field, pair in effect.pairs.items()
        ]

    def shift_after(self, row: Survival) -> VersusRandom | None:
        """Return the relative latent shift after a change; None if the shift before it is unknown."""
        before = next((effect.shift for effect in self.effects if effect.surrogate == row.surrogate), None)
        if before is None:
            return None
        after = VersusRandom(before.protected * row.retained.protected, before.random * row.retained.random)
        return _with_verdict("shift", after)

    def _with_survival_verdict(self, row: Survival) -> Survival:
        after = self.shift_after(row)
        verdict = None if after is None else after.beats_control
        retained = msgspec.structs.replace(row.retained, beats_control=verdict)
        return msgspec.structs.replace(row, retained=retained)


def _with_verdict(field: str, pair: VersusRandom) -> VersusRandom:
    margin, difference = MARGINS[field], pair.protected - pair.random
    beats_control = difference > margin if margin > 0 else difference < margin
    return msgspec.structs.replace(pair, beats_control=beats_control)
