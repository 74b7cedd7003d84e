"""Folders of photos: originals are never replaced, and a broken file does not stop the others."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anti_i2v import Protector
from anti_i2v.batch import Result, photos_in, protect_folder
from anti_i2v.errors import Cancelled, OutputError, PhotoError, RecipeError

PHOTOS = Path(__file__).parents[1] / "data"


@pytest.fixture(autouse=True)
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("ANTI_I2V_HOME", str(home))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos, a broken one, a text, a hidden file and a photo in a folder inside."""
    made = tmp_path / "photos"
    (made / "inside").mkdir(parents=True)
    with Image.open(PHOTOS / "chelsea.jpg") as photo:
        small = photo.convert("RGB").resize((128, 96))
    small.save(made / "b.PNG")
    small.rotate(180).save(made / "c.jpg")
    small.save(made / "inside" / "d.webp")
    small.save(made / ".hidden.png")
    (made / "a.jpg").write_bytes((PHOTOS / "chelsea.jpg").read_bytes()[:3000])
    (made / "notes.txt").write_text("not a photo", encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def protector() -> Protector:
    return Protector("draft", surrogates=[])


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_broken_photo_is_reported_and_the_others_are_protected(folder: Path, protector: Protector) -> None:
    before, output = tree(folder), folder.with_name("out")
    results = protect_folder(folder, output, protector, effects=False)
    assert [result.path.name for result in results] == ["a.jpg", "b.PNG", "c.jpg"]
    assert isinstance(results[0].error, PhotoError)
    assert results[0].receipt is None
    assert all(result.receipt is not None and result.error is None for result in results[1:])
    assert sorted(tree(output)) == ["b.PNG", "c.jpg"]
    assert tree(folder) == before


def test_protected_files_differ_from_the_originals_within_the_budget(folder: Path, protector: Protector) -> None:
    protect_folder(folder, folder.with_name("out"), protector, effects=False)
    with Image.open(folder / "b.PNG") as clean, Image.open(folder.with_name("out") / "b.PNG") as protected:
        delta = np.asarray(protected).astype(int) - np.asarray(clean)
    assert 0 < np.abs(delta).max() <= protector.recipe.budget


def test_inner_folders_are_protected_only_with_recursive(folder: Path, protector: Protector) -> None:
    output = folder.with_name("out")
    protect_folder(folder, output, protector, effects=False, recursive=True)
    assert sorted(tree(output)) == ["b.PNG", "c.jpg", "inside/d.webp"]


def test_several_jobs_write_the_same_files_as_one(folder: Path, protector: Protector) -> None:
    one, three = folder.with_name("one"), folder.with_name("three")
    first = protect_folder(folder, one, protector, effects=False, recursive=True)
    second = protect_folder(folder, three, protector, effects=False, recursive=True, jobs=3)
    assert tree(one) == tree(three)
    assert [result.path for result in first] == [result.path for result in second]


def test_existing_outputs_fail_without_overwrite(folder: Path, protector: Protector) -> None:
    output = folder.with_name("out")
    output.mkdir()
    (output / "b.PNG").write_bytes(b"mine")
    results = protect_folder(folder, output, protector, effects=False)
    assert isinstance(results[1].error, OutputError)
    assert results[2].receipt is not None
    assert tree(output)["b.PNG"] == b"mine"
    again = protect_folder(folder, output, protector, effects=False, overwrite=True)
    assert again[1].receipt is not None
    assert tree(output)["b.PNG"] != b"mine"


def test_the_input_folder_is_never_the_output(folder: Path, protector: Protector) -> None:
    before = tree(folder)
    for same in (folder, folder / "inside" / ".."):
        with pytest.raises(OutputError, match="originals"):
            protect_folder(folder, same, protector, overwrite=True)
    assert tree(folder) == before


def test_an_original_is_not_replaced_through_an_output_folder_above_it(tmp_path: Path, protector: Protector) -> None:
    inner = tmp_path / "photos" / "photos"
    inner.mkdir(parents=True)
    image = Image.new("RGB", (80, 80), (120, 130, 140))
    image.save(inner / "x.png")
    (inner / "photos").mkdir()
    image.save(inner / "photos" / "x.png")
    before = tree(inner)
    # inner/photos/x.png would be written to photos/photos/x.png, which is inner/x.png itself.
    results = protect_folder(inner, inner.parent, protector, effects=False, recursive=True, overwrite=True)
    assert isinstance(results[0].error, OutputError)
    assert results[1].receipt is not None
    assert tree(inner) == before


def test_an_output_folder_inside_the_input_is_not_protected_again(folder: Path, protector: Protector) -> None:
    output = folder / "protected"
    for overwrite in (False, True):
        results = protect_folder(folder, output, protector, effects=False, recursive=True, overwrite=overwrite)
        assert len(results) == 4
    assert sorted(tree(output)) == ["b.PNG", "c.jpg", "inside/d.webp"]


def test_no_folder_is_created_if_every_photo_fails(folder: Path, protector: Protector) -> None:
    for name in ("b.PNG", "c.jpg"):
        (folder / name).unlink()
    (result,) = protect_folder(folder, folder.with_name("out"), protector)
    assert result.error is not None
    assert not folder.with_name("out").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_are_reported_one_by_one_in_the_callers_thread(folder: Path, protector: Protector, jobs: int) -> None:
    reported: list[tuple[Result, threading.Thread]] = []
    results = protect_folder(
        folder,
        folder.with_name("out"),
        protector,
        effects=False,
        jobs=jobs,
        on_result=lambda result: reported.append((result, threading.current_thread())),
    )
    assert {result.path for result, _ in reported} == {result.path for result in results}
    assert {thread for _, thread in reported} == {threading.current_thread()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cancelled_batch_starts_nothing_more(folder: Path, protector: Protector, jobs: int) -> None:
    cancel, output = threading.Event(), folder.with_name("out")
    cancel.set()
    with pytest.raises(Cancelled):
        protect_folder(folder, output, protector, effects=False, jobs=jobs, cancel=cancel)
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"jobs": 0}, RecipeError, "jobs", id="no jobs"),
        pytest.param({"deadline": 0}, RecipeError, "deadline", id="no time"),
        pytest.param({"preset": "nope"}, RecipeError, "unknown preset", id="unknown preset"),
    ],
)
def test_problems_of_every_photo_are_raised_at_once(
    folder: Path, protector: Protector, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        protect_folder(folder, folder.with_name("out"), protector, **options)  # type: ignore[arg-type]  # wrong on purpose
    assert not folder.with_name("out").exists()


def test_missing_and_empty_folders_are_refused(tmp_path: Path, protector: Protector) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PhotoError, match="is not a folder"):
        protect_folder(tmp_path / "nowhere", tmp_path / "out", protector)
    with pytest.raises(PhotoError, match=r"holds no photos.*--recursive"):
        photos_in(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(OutputError, match="does not exist"):
        protect_folder(tmp_path / "empty", tmp_path / "no" / "out", protector)
