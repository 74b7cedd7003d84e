"""Extract the photos and footage of `photos.tsv` and `footage.tsv` from the packages that ship them.

    python sdk/training/gather.py PACKAGES_FOLDER -o OUTPUT_FOLDER

PACKAGES_FOLDER holds downloaded packages (.deb, .whl, .tar.gz, .tgz); README.md beside this file lists them. Output:
OUTPUT_FOLDER/photos, /people and /footage. Files that were not found are listed at the end.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image

TABLES = Path(__file__).parent
FILMS = {".webm", ".mp4"}
CROP = re.compile(r", crop (\d+),(\d+) (\d+)x(\d+)$")


def members(package: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path inside, data) of every regular file of a package."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            for name in wheel.namelist():
                yield name, wheel.read(name)
        return
    if package.suffix == ".deb":
        unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True)  # noqa: S603, S607  # dpkg's own tool on a file that the caller named
        data = unpacked.stdout
    else:
        data = package.read_bytes()
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield member.name.removeprefix("./"), file.read()


def requested_files() -> dict[str, list[tuple[str, Path]]]:
    """Read the tables: end of a path inside a package -> (crop, target)."""
    found: dict[str, list[tuple[str, Path]]] = {}
    for table, folder in (("photos.tsv", "photos"), ("footage.tsv", "people")):
        with (TABLES / table).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                _, _, inside = row["source"].partition(": ")
                goes = "footage" if Path(row["file"]).suffix in FILMS else folder
                crop = CROP.search(inside)
                place = CROP.sub("", inside)
                found.setdefault(place, []).append((crop.group() if crop else "", Path(goes) / row["file"]))
    return found


def write_file(data: bytes, crop: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    box = CROP.search(crop)
    if box is None:
        path.write_bytes(data)
        return
    left, top, width, height = map(int, box.groups())
    with Image.open(BytesIO(data)) as photo:
        photo.convert("RGB").crop((left, top, left + width, top + height)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    settings = parser.parse_args()
    missing = requested_files()
    for package in sorted(settings.packages.iterdir()):
        if package.suffix not in {".deb", ".whl", ".gz", ".tgz"}:
            continue
        for inside, data in members(package):
            # The tables omit a package's leading folders.
            name = next((place for place in missing if f"/{inside}".endswith("/" + place.removeprefix(".../"))), None)
            for crop, path in missing.pop(name) if name else ():
                write_file(data, crop, settings.output / path)
    for place, targets in missing.items():
        print(f"not found: {place} ({', '.join(path.name for _, path in targets)})")
    print(f"{sum(path.is_file() for path in settings.output.rglob('*'))} files in {settings.output}")
    if missing:
        raise SystemExit(f"{len(missing)} not found: see above")


if __name__ == "__main__":
    main()
