"""Protecting a folder of photos into another folder; a photo that fails does not stop the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anti_i2v.errors import AntiI2VError, Cancelled, OutputError, PhotoError, RecipeError
from anti_i2v.files import check_target
from anti_i2v.images.decode import open_photo
from anti_i2v.images.encode import check_format
from anti_i2v.images.formats import format_of
from anti_i2v.images.platforms import get_preset
from anti_i2v.protector import Protector
from anti_i2v.receipts.receipt import Receipt

__all__ = ["Result", "photos_in", "protect_folder"]


@dataclass(frozen=True)
class Result:
    """The outcome for one file: a receipt or an error.

    Attributes:
        path: path of the photo.
        target: path of the protected photo; written only if there is a receipt.
        caption: see `Protection`.
    """

    path: Path
    target: Path
    receipt: Receipt | None = None
    error: AntiI2VError | None = None
    caption: str | None = field(default=None, repr=False)


def protect_folder(
    folder: str | Path,
    output: str | Path,
    protector: Protector,
    *,
    jobs: int = 1,
    preset: str | None = None,
    deadline: float | None = None,
    seed: int = 0,
    effects: bool = True,
    quality: int | None = None,
    keep_metadata: bool = False,
    overwrite: bool = False,
    recursive: bool = False,
    on_result: Callable[[Result], None] | None = None,
    cancel: threading.Event | None = None,
) -> list[Result]:
    """Protect every photo of a folder into another folder, which is created if it is missing.

    Args:
        output: another folder than `folder`; file names, and with `recursive` inner folders, are kept.
        jobs: photos at a time. The models still run on one photo at a time; reading, measuring colours and writing
            overlap.
        deadline: seconds per photo.
        recursive: include inner folders.
        on_result: called in this thread after each photo.
        cancel: set it from another thread to stop; files that are already written stay.

    Returns one result per photo, in the order of their paths.

    Raises:
        PhotoError, OutputError, RecipeError: for a problem that every photo would have.
        Cancelled: when `cancel` is set.
    """
    source, target = Path(folder), Path(output)
    if jobs < 1:
        raise RecipeError(f"jobs must be at least 1, got {jobs}")
    if deadline is not None and not deadline > 0:
        raise RecipeError(f"a deadline must be above 0 seconds, got {deadline}")
    if preset is not None:
        get_preset(preset)
    paths = photos_in(source, target, recursive=recursive)
    batch = _Batch(
        source=source,
        target=target,
        protector=protector,
        originals=frozenset(path.resolve() for path in paths),
        protect_options={"preset": preset, "deadline": deadline, "seed": seed, "effects": effects},
        save_options={"quality": quality, "keep_metadata": keep_metadata, "overwrite": overwrite},
        cancel=cancel or threading.Event(),
    )
    results: dict[Path, Result] = {}
    for result in _run(batch.protect, paths, jobs, batch.cancel):
        results[result.path] = result
        if on_result is not None:
            on_result(result)
    return [results[path] for path in paths]


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Settings that the photos of one folder share."""

    source: Path
    target: Path
    protector: Protector
    originals: frozenset[Path]
    protect_options: Mapping[str, Any]
    save_options: Mapping[str, Any]
    cancel: threading.Event

    def protect(self, path: Path) -> Result:
        """Protect one photo into the target folder. Raises only Cancelled."""
        goal = self.target / path.relative_to(self.source)
        self._check_cancel()
        try:
            return self._protect(path, goal)
        except Cancelled:
            raise
        except AntiI2VError as error:
            return Result(path, goal, error=error)
        except Exception as error:  # a bug that one photo triggers must not stop a long batch
            failure = AntiI2VError(f"{path.name} failed on a bug ({type(error).__name__}): please report it")
            failure.__cause__ = error
            return Result(path, goal, error=failure)

    def _protect(self, path: Path, goal: Path) -> Result:
        if goal.resolve() in self.originals:
            raise OutputError(f"{goal} is one of the originals: choose an output folder outside of {self.source}")
        if goal.parent.is_dir():
            check_target(goal, overwrite=self.save_options["overwrite"])
        photo = open_photo(path)
        check_format(photo, format_of(goal))
        protection = self.protector.protect(photo, cancel=self.cancel, **self.protect_options)
        self._check_cancel()
        _create_folder(goal.parent)
        receipt = protection.save(goal, **self.save_options)
        return Result(path, goal, receipt, caption=protection.caption)

    def _check_cancel(self) -> None:
        if self.cancel.is_set():
            raise Cancelled("cancelled")


def photos_in(folder: Path, output: Path, *, recursive: bool = False) -> list[Path]:
    """List the files whose suffix names a supported format, sorted.

    Hidden files and folders are left out, and files in the output folder, which are protected already.

    Raises:
        PhotoError: the folder does not exist, cannot be read or holds no photo.
        OutputError: the output is the same folder or a file, or its parent folder is missing.
    """
    _check_folders(folder, output)
    try:
        found = sorted(path for path in _walk(folder, recursive) if _is_photo(path))
        if output.resolve().is_relative_to(folder.resolve()):
            found = [path for path in found if not path.resolve().is_relative_to(output.resolve())]
    except OSError as error:
        raise PhotoError(f"{folder} cannot be read ({error.strerror}): check your permissions") from None
    if not found:
        hint = "" if recursive else ", or pass --recursive for the folders inside it"
        raise PhotoError(f"{folder} holds no photos: give another folder{hint}")
    return found


def _run(task: Callable[[Path], Result], paths: list[Path], jobs: int, stop: threading.Event) -> Iterator[Result]:
    """Yield results as they are completed. One job runs in this thread, so that Ctrl-C ends it at once."""
    if jobs == 1:
        yield from map(task, paths)
        return
    with ThreadPoolExecutor(jobs, thread_name_prefix="anti-i2v") as pool:
        futures = [pool.submit(task, path) for path in paths]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:  # Ctrl-C, a cancellation, or a caller that stops iterating: start nothing more
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _walk(folder: Path, recursive: bool) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        # Links to folders are not followed, because they may form a cycle.
        if path.is_dir():
            if recursive and not path.is_symlink():
                yield from _walk(path, recursive)
        else:
            yield path


def _is_photo(path: Path) -> bool:
    try:
        format_of(path)
    except OutputError:
        return False
    return True


def _check_folders(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise PhotoError(f"{source} is not a folder: check the path")
    if target.resolve() == source.resolve():
        raise OutputError(f"{target} holds the originals: choose another folder for the protected photos")
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} is a file: choose a folder for the protected photos")
    if not target.parent.is_dir():
        raise OutputError(f"the folder {target.parent} does not exist: create it first, or choose another")


def _create_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created ({error.strerror}): choose another place") from None
