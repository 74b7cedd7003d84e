"""A photo as people have it, read into upright 8-bit sRGB pixels.

Colours: a photo with an ICC profile is converted to sRGB (perceptual intent; for the matrix profiles of cameras and
phones that is relative colorimetric) and saved without one. Surrogates, platforms and video models all read sRGB, so
the perturbation is made in the colours that they will see; what a wide-gamut photo holds beyond sRGB is clipped. A
photo without a profile is taken for sRGB, also where other tags (PNG gAMA, AVIF nclx) say otherwise.
Only the picture itself is read: gain maps, depth maps, thumbnails and further frames stay behind.
"""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
from PIL import Image

from anti_i2v.errors import PhotoError
from anti_i2v.images.colour import to_srgb
from anti_i2v.images.exif import read_exif
from anti_i2v.images.formats import FORMATS, NEEDS_HEIF, sniff_format
from anti_i2v.images.photo import Photo

__all__ = ["open_photo"]

SHORTEST_SIDE = 64
"""Pixels below which nothing is left for a perturbation to work with."""

MAX_PIXELS = 64_000_000
"""Pixels above which a file is taken for a decompression bomb unless the caller says otherwise."""


def open_photo(
    source: str | Path | bytes | Image.Image | npt.NDArray[np.uint8], *, max_pixels: int = MAX_PIXELS
) -> Photo:
    """Read a photo.

    Args:
        source: a path, a file's bytes, a Pillow image (not changed), or a uint8 array (H, W), (H, W, 3) or (H, W, 4).
        max_pixels: width times height above which nothing is decoded.

    Raises:
        PhotoError: there is no such file, or it is not a photo that can be protected; says why and what to do.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    with _quiet_pillow:
        if isinstance(source, Image.Image):
            name = Path(str(getattr(source, "filename", ""))).name or "photo"
            return _read(source, name, max_pixels)
        path = None if isinstance(source, bytes) else Path(source)
        name = "photo" if path is None else path.name or str(path)
        data = source if isinstance(source, bytes) else _bytes_of(Path(source), name, max_pixels)
        with _open(data, name, max_pixels) as image:
            return _read(image, name, max_pixels)


class _QuietPillow:
    """Silences Pillow's warnings (bombs, odd metadata) while any thread reads: what matters of them is an error here.

    `warnings.catch_warnings` puts a global list back when it ends, so two threads inside it restore each other's list.
    Here the first thread in sets the filter and the last one out removes it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.|pillow_heif")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._filters.__exit__(None, None, None)


_quiet_pillow = _QuietPillow()


def _from_array(source: npt.NDArray[np.uint8], max_pixels: int) -> Photo:
    channels = source.shape[2:]
    if source.dtype != np.uint8:
        raise PhotoError(f"an array of {source.dtype} is not a photo: scale it to 0..255 and convert it to uint8")
    if source.ndim not in (2, 3) or channels not in ((), (3,), (4,)):
        raise PhotoError(f"an array of shape {source.shape} is not a photo: give (H, W), (H, W, 3) or (H, W, 4)")
    _check_size((source.shape[1], source.shape[0]), "the array", max_pixels)
    pixels = np.repeat(source[..., None], 3, axis=2) if not channels else source[..., :3].copy()
    alpha = source[..., 3].copy() if channels == (4,) else None
    notes = () if channels else ("grayscale was converted to RGB",)
    return Photo(pixels=pixels, alpha=alpha, format="PNG", name="photo", exif=None, notes=notes)


def _bytes_of(path: Path, name: str, max_pixels: int) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PhotoError(f"{name} is a folder: give the photo inside it")
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError(f"{name} is not an ordinary file: save the photo to a file first")
        # Uncompressed 16-bit RGBA is 8 bytes a pixel: whatever is larger needs no reading to be refused.
        if status.st_size > 8 * max_pixels + 2**26:
            raise PhotoError(f"{name} is larger than any photo of {max_pixels / 1e6:g} megapixels: make it smaller")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise PhotoError(f"{name} does not exist: check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or "not a path"
        raise PhotoError(f"{name} cannot be opened ({reason}): check the path and your permissions") from None


def _open(data: bytes, name: str, max_pixels: int) -> Image.Image:
    if not data:
        raise PhotoError(f"{name} is empty: export or download it again")
    kind = sniff_format(data)
    if kind is None:
        raise PhotoError(f"{name} is not an image: give a {_one_of(FORMATS)} photo")
    if kind not in FORMATS:
        raise PhotoError(f"{name} is not a photo format that this reads: it is {kind}, export it as JPEG or PNG")
    with _plain_errors(name, max_pixels):
        if kind != "HEIF":
            return Image.open(BytesIO(data), formats=(kind,))
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            raise PhotoError(f"{name}: {NEEDS_HEIF}") from None
        # By its class: registering it would change Pillow for the whole process. Its constructor has no annotations.
        return HeifImageFile(BytesIO(data))  # type: ignore[no-untyped-call]


def _one_of(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


@contextmanager
def _plain_errors(name: str, max_pixels: int) -> Iterator[None]:
    """Whatever decoding trips over becomes one line about the file."""
    try:
        yield
    except PhotoError:
        raise
    except Image.DecompressionBombError:
        hint = "make it smaller"
        if max_pixels > 2 * (Image.MAX_IMAGE_PIXELS or max_pixels):
            hint += ", or raise PIL.Image.MAX_IMAGE_PIXELS too"
        raise PhotoError(f"{name} has too many pixels to be a photo: {hint}") from None
    except MemoryError:
        raise PhotoError(f"{name} does not fit into this machine's memory: make it smaller") from None
    except Exception:  # broken files raise from any layer: OSError, SyntaxError, struct.error, KeyError, zlib.error...
        raise PhotoError(f"{name} is truncated or damaged: export or download it again") from None


def _read(image: Image.Image, name: str, max_pixels: int) -> Photo:
    _check_size(image.size, name, max_pixels)
    notes: list[str] = []
    with _plain_errors(name, max_pixels):
        _check_frames(image, name, notes)
        _check_samples(image, name, notes)
        image.load()
    _check_size(image.size, name, max_pixels)  # some containers announce one size and decode to another
    file_format = {"MPO": "JPEG", None: "PNG"}.get(image.format, image.format)
    if file_format not in FORMATS:
        notes.append(f"{file_format} is not written here: the result is saved as PNG by default")
        file_format = "PNG"
    orientation, exif = read_exif(image, notes)
    if orientation in _TURNS:
        notes.append("turned upright, as its orientation tag says")
    profile = image.info.get("icc_profile")
    base, alpha = _split_alpha(image, name, notes)
    photo = Photo(
        pixels=_upright(to_srgb(base, profile, notes), orientation),
        alpha=None if alpha is None else _upright(alpha, orientation),
        format=file_format,
        name=name,
        exif=exif,
        notes=(),
    )
    return replace(photo, notes=tuple(notes))


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise PhotoError(
            f"{name} has {width} x {height} pixels, more than {max_pixels / 1e6:g} megapixels: make it smaller"
        )
    if min(size) < SHORTEST_SIDE:
        raise PhotoError(
            f"{name} has {width} x {height} pixels, too small to protect: "
            f"give a photo of at least {SHORTEST_SIDE} pixels a side"
        )


def _check_frames(image: Image.Image, name: str, notes: list[str]) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames == 1:
        return
    if image.format in ("MPO", "HEIF"):  # how phones store gain maps, portraits' depth, bursts: the first is the photo
        notes.append(f"only the main picture of the {frames} in the file is kept")
    elif image.format == "TIFF":
        raise PhotoError(f"{name} has {frames} pages: save the page to protect as a file of its own")
    else:
        raise PhotoError(f"{name} is an animation of {frames} frames: save the frame to protect as JPEG or PNG")


def _check_samples(image: Image.Image, name: str, notes: list[str]) -> None:
    """Refuse sample types that have no agreed way to 8 bits; note the depth that 8 bits lose."""
    tags = getattr(image, "tag_v2", {})
    # Raw files are TIFFs too, whose first page is only a preview: DNGVersion, or NewSubfileType "reduced resolution".
    if 50706 in tags or tags.get(254, 0) & 1:
        raise PhotoError(f"{name} is a camera's raw file: export it as JPEG or TIFF")
    samples = str(getattr(image, "tile", ""))
    inverted = image.mode.startswith("I;16") and tags.get(262) == 0  # WhiteIsZero, which Pillow heeds for 8 bits only
    if image.mode in ("F", "I") or ";12" in samples or inverted:
        kind = {"F": "floating-point", "I": "32-bit"}.get(image.mode, "inverted 16-bit" if inverted else "12-bit")
        raise PhotoError(
            f"{name} has {kind} samples, which have no sure way to 8 bits: export it with 8 bits a channel"
        )
    if image.mode.startswith("I;16") or ";16" in samples or image.info.get("bit_depth", 8) > 8:
        notes.append("more than 8 bits a channel were reduced to 8")


# What makes the rows and columns of a file upright: (quarter turns counter-clockwise, then mirror left to right).
_TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


def _upright(array: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    turns, mirror = _TURNS.get(orientation, (0, False))
    turned = np.rot90(array, turns)
    return np.ascontiguousarray(turned[:, ::-1] if mirror else turned)


def _split_alpha(image: Image.Image, name: str, notes: list[str]) -> tuple[Image.Image, npt.NDArray[np.uint8] | None]:
    """The opaque picture in mode L, RGB or CMYK, and its alpha."""
    mode = image.mode
    if mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((deep * 255 + 32_767) // 65_535).astype(np.uint8)), None
    if mode in ("CMYK", "L", "RGB") and not image.has_transparency_data:
        return image, None
    if mode in ("P", "PA"):
        notes.append("palette colours were converted to RGB")
    try:
        full = image.convert("RGBA" if image.has_transparency_data else "RGB")
    except ValueError:
        raise PhotoError(f"{name} has {mode} colours, which this does not read: export it as RGB") from None
    alpha = np.array(full.getchannel("A")) if full.mode == "RGBA" else None
    gray = mode in ("1", "L", "LA")
    return (image if gray else full).convert("L" if gray else "RGB"), alpha
