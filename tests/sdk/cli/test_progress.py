"""Progress bars are drawn on a terminal only."""

from __future__ import annotations

import io
import sys

import pytest

from anti_i2v_cli.progress import stage_progress


@pytest.mark.parametrize(
    ("terminal", "quiet", "drawn"),
    [(True, False, True), (True, True, False), (False, False, False)],
    ids=["terminal", "quiet", "pipe"],
)
def test_progress_goes_to_a_terminal_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, quiet: bool, drawn: bool
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stderr", stream)
    with stage_progress(quiet) as on_progress:
        on_progress("loading a model", 0.0)
    assert ("loading a model" in stream.getvalue()) == drawn
