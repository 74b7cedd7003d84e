"""One file holds the words and margins of receipts; the extension and the server's page have what it generates."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from anti_i2v.receipts.receipt import Effect
from anti_i2v.receipts.tables import TABLES

ROOT = Path(__file__).parents[3]


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("receipt_tables", ROOT / "sdk" / "receipt_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()


@pytest.mark.parametrize("path", generator.FILES, ids=lambda path: path.name)
def test_generated_tables_are_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generator.FILES[path](), "run `hatch run receipt-tables`"


def test_messages_of_the_extension_use_the_same_words() -> None:
    messages = json.loads(generator.MESSAGES.read_text(encoding="utf-8"))
    expected = generator.messages()
    assert {key: messages[key]["message"] for key in expected} == expected


def test_measures_are_the_fields_of_an_effect() -> None:
    fields = {field.name for field in msgspec.structs.fields(Effect)}
    assert {measure.field for measure in TABLES.measures} == fields - {"surrogate", "role"}


def test_a_meaning_states_the_threshold_of_one_person() -> None:
    (identity,) = [measure for measure in TABLES.measures if measure.field == "decoded_identity"]
    assert f"{TABLES.same_person} or more the same person" in identity.meaning


@pytest.mark.parametrize("bands", [TABLES.bands.smooth_areas, TABLES.bands.colour], ids=["smooth areas", "colour"])
def test_bands_rise_to_infinity(bands: tuple[tuple[float, str], ...]) -> None:
    ends = [end for end, _ in bands]
    assert ends == sorted(ends)
    assert ends[-1] == float("inf")
