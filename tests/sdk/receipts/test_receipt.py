"""The JSON of a receipt: counts, verdicts, infinite numbers and receipts of earlier versions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.sdk.receipts.conftest import STUDENT, TAESD, VISIBLE, a_receipt

from anti_i2v.receipts.receipt import Receipt, Survival, VersusRandom


def decoded(receipt: Receipt) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(receipt.to_json())
    return found


def test_counts_follow_the_checks_whatever_count_was_given() -> None:
    receipt = a_receipt(
        effects=(TAESD, msgspec.structs.replace(TAESD, surrogate="taef1", shift=VersusRandom(0.3, 0.3)), STUDENT)
    )
    found = decoded(receipt)
    assert (found["beatsRandom"], found["checks"]) == (7, 8) == (sum(won for _, won in receipt.checks()), 8)
    assert Receipt.from_json(receipt.to_json().replace(b'"beatsRandom": 7', b'"beatsRandom": 8')) == receipt


def test_infinite_numbers_survive_json() -> None:
    same = msgspec.structs.replace(TAESD, decoded_psnr=VersusRandom(float("inf"), 30.0))
    receipt = a_receipt(effects=(same,))
    assert b"Infinity" not in receipt.to_json()
    assert Receipt.from_json(receipt.to_json()) == receipt


@pytest.mark.parametrize(
    ("field", "protected", "random", "clearly_more"),
    [
        ("shift", 0.33, 0.3, True),
        ("shift", 0.31, 0.3, False),
        ("decodedPsnr", 30.0, 31.0, True),
        ("decodedPsnr", 30.8, 31.0, False),
        ("decodedPsnr", float("inf"), 31.0, False),
        ("decodedLpips", 0.08, 0.06, True),
        ("decodedIdentity", 0.9, 0.94, True),
        ("decodedIdentity", 0.93, 0.94, False),
    ],
)
def test_each_measure_of_an_effect_has_its_verdict_by_its_margin(
    field: str, protected: float, random: float, clearly_more: bool
) -> None:
    name = {"decodedPsnr": "decoded_psnr", "decodedLpips": "decoded_lpips", "decodedIdentity": "decoded_identity"}
    effect = msgspec.structs.replace(TAESD, **{name.get(field, field): VersusRandom(protected, random)})
    assert decoded(a_receipt(effects=(effect,)))["effects"][0][field]["clearlyMore"] is clearly_more


def test_survival_has_the_verdict_of_the_shift_after_the_change() -> None:
    # 0.6 and 0.3 before: 0.48 and 0.21 after the first change, 0.3 and 0.3 after the second.
    rows = (
        Survival(change="jpeg75", surrogate="taesd", retained=VersusRandom(0.8, 0.7)),
        Survival(change="blur", surrogate="taesd", retained=VersusRandom(0.5, 1.0)),
    )
    found = decoded(a_receipt(survival=rows))["survival"]
    assert [row["left"]["clearlyMore"] for row in found] == [True, False]


def test_survival_on_a_surrogate_without_an_effect_has_no_verdict() -> None:
    row = Survival(change="blur", surrogate="taesd3", retained=VersusRandom(0.5, 1.0))
    receipt = a_receipt(survival=(row,))
    assert "clearlyMore" not in decoded(receipt)["survival"][0]["left"]
    assert Receipt.from_json(receipt.to_json()) == receipt


def without_verdicts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_verdicts(item) for key, item in value.items() if key != "clearlyMore"}
    return [without_verdicts(item) for item in value] if isinstance(value, list) else value


def test_an_earlier_receipt_without_verdicts_is_read() -> None:
    earlier = msgspec.json.encode(without_verdicts(decoded(a_receipt())))
    assert b"clearlyMore" not in earlier
    assert Receipt.from_json(earlier) == a_receipt()


def test_earlier_names_of_attributes_are_kept() -> None:
    row = a_receipt().survival[0]
    assert row.left is row.retained
    assert VISIBLE.relief == VISIBLE.smooth_area_rms
