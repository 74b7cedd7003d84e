"""Receipts of a protection with one real encoder and the student."""

from __future__ import annotations

from typing import Any

import msgspec

from anti_i2v.metrics.imperceptibility import Imperceptibility
from anti_i2v.receipts.receipt import Effect, Encoding, Receipt, Survival, VersusRandom

VISIBLE = Imperceptibility(
    psnr=38.4,
    ssim=0.964,
    de2000_mean=1.4,
    de2000_p95=2.9,
    smooth_area_rms=0.7,
    max_levels=8,
    mean_levels=2.4,
    sampled_share=1.0,
)
TAESD = Effect(
    surrogate="taesd",
    role="surrogate",
    shift=VersusRandom(0.6, 0.3),
    decoded_psnr=VersusRandom(24.0, 31.0),
    decoded_lpips=VersusRandom(0.25, 0.06),
    decoded_identity=VersusRandom(0.41, 0.94),
)
STUDENT = Effect(surrogate="embedded", role="gauge", shift=VersusRandom(0.5, 0.2))


def a_receipt(**changes: Any) -> Receipt:
    """A receipt with every section, with some fields replaced."""
    full = Receipt(
        recipe="balanced",
        preset="instagram",
        seed=3,
        budget_asked=8,
        budget_spent=8,
        steps=15,
        steps_asked=15,
        stopped="steps",
        imperceptibility=VISIBLE,
        effects=(TAESD, STUDENT),
        survival=(
            Survival(change="jpeg75", surrogate="taesd", retained=VersusRandom(0.8, 0.7)),
            Survival(change="instagram", surrogate="taesd", retained=VersusRandom(1.1, 1.2)),
        ),
        encoding=Encoding(format="JPEG", lossless=False, perturbation_kept=0.93, max_levels=11),
        working_size=(512, 768),
        device="cpu",
        seconds={"protect": 10.0, "measure": 2.5},
    )
    return msgspec.structs.replace(full, **changes)
