"""Results for fixed photos and seeds equal the recorded ones."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


def load_record() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_record", Path(__file__).with_name("record.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


record = load_record()


@pytest.mark.parametrize("case", record.CASES)
def test_pixels_and_receipt_are_as_recorded(case: str) -> None:
    pixels, receipt = record.protection(case)
    difference = np.abs(pixels.astype(int) - record.recorded_pixels(case))
    assert difference.max() <= 2  # other processors round otherwise; on the recording machine all are equal
    assert (difference > 0).mean() < 0.01
    assert list(record.differences(record.recorded(case), receipt)) == []


@pytest.mark.parametrize("name", record.TEXTS)
def test_checks_commands_and_openapi_are_as_recorded(name: str) -> None:
    assert list(record.differences(record.recorded(name), json.loads(json.dumps(record.TEXTS[name]())))) == []
