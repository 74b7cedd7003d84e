"""`anti-i2v recipes`."""

from __future__ import annotations

import anti_i2v

from .command_line import run


def test_every_recipe_is_listed() -> None:
    result = run("recipes")
    assert result.exit_code == 0
    assert set(anti_i2v.recipe_names()) <= {line.split()[0] for line in result.stdout.splitlines()}
    assert max(map(len, result.stdout.splitlines())) <= 100
