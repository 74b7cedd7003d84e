"""The folder of weights."""

from pathlib import Path

import pytest

from anti_i2v.paths import find_weights, home


def test_the_environment_names_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTI_I2V_HOME", str(tmp_path))
    assert home() == tmp_path


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_without_a_named_home_it_is_the_users_data_folder(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv("ANTI_I2V_HOME", raising=False)
    else:
        monkeypatch.setenv("ANTI_I2V_HOME", value)
    assert home().is_absolute()
    assert home().name == "anti-i2v"


def test_a_file_is_found_only_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "face").mkdir()
    (tmp_path / "face" / "net.onnx").touch()
    monkeypatch.setenv("ANTI_I2V_HOME", str(tmp_path))
    assert find_weights("face/net.onnx") == tmp_path / "face" / "net.onnx"
    assert find_weights("face/other.onnx") is None
