"""Check by pixels what arrived at the receiving site, and whether anything of the original did."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np

from .upload_fixtures import UploadFile, decode_pixels
from .upload_receiver import Arrival, Run

BUDGET = 8
"""Budget of the recipe `draft`, in levels."""

CODEC = {"image/png": 0, "image/webp": 40, "image/jpeg": 24, "image/avif": 40}
"""Levels that encoding may add, by media type."""

PIECE = 48
"""Bytes of a piece: long enough not to occur in other files by chance."""

HEADER = 700
"""First bytes of a file, which others of the same format and quality may share: tables, profiles."""


def pieces_of(data: bytes) -> Iterator[bytes]:
    """Yield short pieces from all over a file, raw and as base64 at each of the three offsets."""
    for start in range(HEADER, max(HEADER + 1, len(data) - PIECE), max(1, len(data) // 12)):
        piece = data[start : start + PIECE]
        if len(piece) < PIECE:
            return
        yield piece
        for shift in range(3):
            whole = (len(piece) - shift) // 3 * 3
            yield base64.b64encode(piece[shift : shift + whole])


def find_leaks(run: Run, original: UploadFile) -> list[str]:
    """List where the original, or a piece of it, reached the site."""
    found = []
    for request in run.requests:
        if any(piece in request.body for piece in pieces_of(original.data)):
            found.append(f"bytes of {original.path} in {request.method} {request.path}")
    pixels = decode_pixels(original.data)
    for arrival in run.arrivals():
        seen = decode_pixels(arrival.data)
        if seen is not None and pixels is not None and seen.shape == pixels.shape and np.array_equal(seen, pixels):
            found.append(f"the pixels of {original.path} as {arrival.name or 'a body'}")
    return found


def why_not_protected(arrival: Arrival, original: UploadFile) -> str:
    """Return why the arrival is not the protected photo: beyond the budget, or almost the original. "" if it is."""
    seen, pixels = decode_pixels(arrival.data), decode_pixels(original.data)
    if seen is None or pixels is None:
        return f"no image: {arrival.data[:40]!r}"
    if seen.shape != pixels.shape:
        return f"{seen.shape} instead of {pixels.shape}"
    levels = int(np.abs(seen - pixels).max())
    allowed = BUDGET + CODEC[original.type]
    if levels > allowed:
        return f"{levels} levels away, {allowed} allowed"
    mean = float(np.abs(seen - pixels).mean())
    return "" if mean > 1 else f"almost the original: {mean:.2f} levels away in the mean"


def assert_protected(run: Run, files: list[UploadFile], *, named: bool = True, order: bool = True) -> None:
    """Assert that photos arrived protected and other files unchanged, with name, type and order, and nothing else did.

    Args:
        named: whether this surface carries names and types.
        order: whether it keeps the order.
    """
    arrivals = run.arrivals()
    leaked = [leak for each in files if each.photo for leak in find_leaks(run, each)]
    assert not leaked, leaked
    assert len(arrivals) == len(files), [(each.name, len(each.data)) for each in arrivals]
    if not order:
        arrivals.sort(key=lambda each: each.name)
        files = sorted(files, key=lambda each: each.name)
    for arrival, original in zip(arrivals, files, strict=True):
        if named:
            assert arrival.name in (original.name, original.path), (arrival.name, original.path)
            assert arrival.type == original.type
        if original.photo:
            problem = why_not_protected(arrival, original)
            assert not problem, f"{original.path}: {problem}"
            assert arrival.data[:4] == original.data[:4], f"{original.path} arrived as {arrival.data[:12]!r}"
        else:
            assert arrival.data == original.data, f"{original.path} was changed"


def assert_originals_arrived(run: Run, files: list[UploadFile], *, named: bool = True) -> None:
    """Assert that the originals arrived and that `find_leaks` notices them."""
    arrivals = run.arrivals()
    assert len(arrivals) == len(files), [(each.name, len(each.data)) for each in arrivals]
    for original in files:
        if original.photo:
            assert find_leaks(run, original)
        else:
            assert any(arrival.data == original.data for arrival in arrivals)
        if named:
            assert any(arrival.name in (original.name, original.path) for arrival in arrivals)
