"""`anti-i2v presets`."""

from __future__ import annotations

from anti_i2v.images.platforms import PRESETS

from .command_line import run


def test_every_preset_is_listed() -> None:
    result = run("presets")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(PRESETS)
    assert max(map(len, result.stdout.splitlines())) <= 100
