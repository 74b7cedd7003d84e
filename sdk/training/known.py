"""List the photos that training used, so that an evaluation on one of them gives no headline.

    python sdk/training/known.py PHOTOS_FOLDER [MORE_FOLDERS...] -o sdk/anti_i2v/data/victims-training.txt

Each line holds a photo's SHA-256, the SHA-256 of its pixels, and its difference hash
(`evaluation.validity_checks.fingerprint`). Pass every folder that `clips.py` used. Photos of the tests are refused.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from clips import TEST_PHOTOS, digest

from anti_i2v.evaluation.validity_checks import MAX_HASH_DISTANCE, fingerprint
from anti_i2v.images.decode import open_photo

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}

HEAD = """\
# Photos that the victims were trained on: SHA-256 of the file, SHA-256 of its pixels, difference hash (64 bits).
# Written by sdk/training/known.py; the sources of the photos are in sdk/training/photos.tsv and footage.tsv.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    settings = parser.parse_args()

    tests = [path for path in sorted(TEST_PHOTOS.rglob("*")) if path.suffix.lower() in SUFFIXES]
    tested = {path: fingerprint(open_photo(path).pixels, path.read_bytes()) for path in tests}
    lines = []
    for path in sorted(path for folder in settings.folders for path in folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES:
            continue
        found = fingerprint(open_photo(path).pixels, path.read_bytes())
        for test, other in tested.items():
            distance = (found.difference_hash ^ other.difference_hash).bit_count()
            if digest(path) == other.file or distance <= MAX_HASH_DISTANCE:
                raise SystemExit(f"{path.name} looks like {test.name}, a photo of the tests: take it out")
        lines.append(f"{found.file} {found.pixels} {found.difference_hash:016x}\n")
    if not lines:
        raise SystemExit("no photos in these folders: put .jpg, .png or .webp files there")
    settings.output.write_text(HEAD + "".join(sorted(set(lines))), encoding="utf-8")
    print(f"{len(set(lines))} photos")


if __name__ == "__main__":
    main()
