"""Record results of the public API for fixed photos and seeds: pixels, receipts, commands, the OpenAPI document.

    python tests/golden/record.py          # compare with the recorded files, and print what differs
    python tests/golden/record.py --write  # record anew, after a change that is meant to change results

A refactoring must not change them. Photos are stored as PNG, everything else as JSON, beside this file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anti_i2v import Protection, check, protect
from anti_i2v.arrays import Rgb8

HERE = Path(__file__).parent
SIDE = 160
VOLATILE = ("seconds", "versions", "device")
"""Fields of a receipt that belong to one run or machine."""


def photo() -> Rgb8:
    """The upper part of the astronaut, with her face: (SIDE, SIDE, 3)."""
    with Image.open(HERE.parent / "data" / "astronaut.jpg") as opened:
        return np.asarray(opened.convert("RGB").crop((110, 0, 410, 300)).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def draft(engine: str) -> Protection:
    """The default of a machine without weights."""
    return protect(photo(), recipe="draft", engine=engine, surrogates=["embedded"], seed=3)


def balanced(engine: str) -> Protection:
    """Three steps on the student."""
    return protect(photo(), recipe="balanced", engine=engine, surrogates=["embedded"], seed=3, steps=3)


def platform(engine: str) -> Protection:
    """Steps through a platform's codec, in JPEG's own DCT and in L*a*b*, from a random start."""
    settings: dict[str, Any] = {"steps": 3, "start": "random", "spaces": ["luma-dct8", "lab"]}
    return protect(
        photo(), recipe="strong", preset="whatsapp", engine=engine, surrogates=["embedded"], seed=5, **settings
    )


PROTECTIONS: dict[str, Callable[[str], Protection]] = {"draft": draft, "balanced": balanced, "platform": platform}
ENGINES = ("torch", "onnx")
CASES = [f"{name}-{engine}" for name in PROTECTIONS for engine in ENGINES]


def stable(receipt_json: str) -> dict[str, Any]:
    """Drop the fields of one run or machine from a receipt."""
    return {key: value for key, value in json.loads(receipt_json).items() if key not in VOLATILE}


def protection(case: str) -> tuple[Rgb8, dict[str, Any]]:
    """Pixels and receipt of a case, "recipe-engine"."""
    name, _, engine = case.rpartition("-")
    made = PROTECTIONS[name](engine)
    return made.photo.pixels, stable(made.receipt.to_json())


def checked() -> dict[str, Any]:
    """The receipt of `check()` for a recorded photo."""
    with Image.open(HERE / "draft-torch.png") as protected:
        return stable(check(photo(), np.asarray(protected), seed=1).to_json())


def commands() -> dict[str, list[str]]:
    """Every command with its parameters, by the names that a person types."""
    import typer

    from anti_i2v_cli import app

    def walk(command: Any, path: str) -> Iterator[tuple[str, list[str]]]:
        yield path, sorted(name for option in command.params for name in (*option.opts, *option.secondary_opts))
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{path} {name}")

    return dict(walk(typer.main.get_command(app), "anti-i2v"))


def differences(expected: Any, found: Any, where: str = "") -> Iterator[str]:
    """Every place where two JSON values differ; numbers may differ by one part in a thousand."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted({*expected, *found}):
            if key not in expected or key not in found:
                yield f"{where}.{key}: {'added' if key in found else 'missing'}"
            else:
                yield from differences(expected[key], found[key], f"{where}.{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for place, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from differences(one, other, f"{where}[{place}]")
    elif isinstance(expected, float) and isinstance(found, int | float):
        if abs(expected - found) > 1e-3 * max(abs(expected), 1e-3):
            yield f"{where}: {expected} -> {found}"
    elif expected != found:
        yield f"{where}: {expected!r} -> {found!r}"


def openapi() -> Any:
    """The server's OpenAPI document, without its prose."""
    from anti_i2v_server.app import make_server
    from anti_i2v_server.settings import Settings
    from anti_i2v_server.tokens import TokenStore

    server = make_server(Settings(), tokens=TokenStore(HERE / "no-such-file.json"))
    return without_prose(server.litestar.openapi_schema.to_schema())


def without_prose(value: Any) -> Any:
    """An OpenAPI value without descriptions, summaries and titles of objects."""
    if isinstance(value, dict):
        return {
            key: without_prose(item)
            for key, item in value.items()
            if not (key in ("description", "summary", "title") and isinstance(item, str))
        }
    return [without_prose(item) for item in value] if isinstance(value, list) else value


TEXTS: dict[str, Callable[[], Any]] = {"check": checked, "commands": commands, "openapi": openapi}
"""Everything that is stored as JSON, beside the receipts."""


def write() -> None:
    """Record everything anew."""
    for case in CASES:
        pixels, receipt = protection(case)
        Image.fromarray(pixels).save(HERE / f"{case}.png")
        (HERE / f"{case}.json").write_text(json.dumps(receipt, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for name, record in TEXTS.items():
        value = record()
        (HERE / f"{name}.json").write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def recorded(name: str) -> Any:
    """A recorded JSON value."""
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def recorded_pixels(case: str) -> Rgb8:
    """A recorded photo."""
    with Image.open(HERE / f"{case}.png") as image:
        return np.asarray(image)


def compare() -> int:
    """Print every difference; the number of bytes and values that differ."""
    found: list[str] = []
    for case in CASES:
        pixels, receipt = protection(case)
        changed = int((pixels != recorded_pixels(case)).sum())
        found += [f"{case}: {changed} pixel values differ"] * (changed > 0)
        found += [f"{case}{line}" for line in differences(recorded(case), receipt)]
    for name, record in TEXTS.items():
        value = json.loads(json.dumps(record()))
        found += [f"{name}{line}" for line in differences(recorded(name), value)]
    print("\n".join(found) or "equal, pixels byte for byte")  # noqa: T201  # a script
    return len(found)


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    else:
        sys.exit(compare() > 0)
