"""Reading a photo into upright 8-bit sRGB pixels.

Only the main picture is read: gain maps, depth maps, thumbnails and further frames are left out.
"""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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

MIN_SIDE = 64
"""Pixels; smaller photos leave no room for a perturbation."""

MAX_PIXELS = 64_000_000
"""Default limit of pixels; larger files are treated as decompression bombs."""


def open_photo(
    source: str | Path | bytes | Image.Image | npt.NDArray[np.uint8], *, max_pixels: int = MAX_PIXELS
) -> Photo:
    """Read a photo.

    Args:
        source: a path, a file's bytes, a Pillow image (not changed), or a uint8 array (H, W), (H, W, 3) or (H, W, 4).
        max_pixels: limit of width times height; larger files are not decoded.

    Raises:
        PhotoError: the file is missing, or is not a photo that can be protected.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    with _quiet_pillow:
        if isinstance(source, Image.Image):
            name = Path(str(getattr(source, "filename", ""))).name or "photo"
            return _read(source, name, max_pixels)
        path = None if isinstance(source, bytes) else Path(source)
        name = "photo" if path is None else path.name or str(path)
        data = source if isinstance(source, bytes) else _read_bytes(Path(source), name, max_pixels)
        with _open(data, name, max_pixels) as image:
            return _read(image, name, max_pixels)


class _QuietPillow:
    """Silences Pillow's warnings (bombs, odd metadata) while any thread reads; those that matter are errors here.

    `warnings.catch_warnings` restores a global list when it ends, so two threads inside it restore each other's list.
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


def _read_bytes(path: Path, name: str, max_pixels: int) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PhotoError(f"{name} is a folder: give the photo inside it")
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError(f"{name} is not an ordinary file: save the photo to a file first")
        # Uncompressed 16-bit RGBA has 8 bytes a pixel: a larger file can be refused without reading it.
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
        raise PhotoError(f"{name} is not an image: give a {_one_of(tuple(FORMATS))} photo")
    if kind not in FORMATS:
        raise PhotoError(f"{name} is not in a photo format that is read here: it is {kind}, export it as JPEG or PNG")
    with _decode_errors(name, max_pixels):
        if kind != "HEIF":
            return Image.open(BytesIO(data), formats=(kind,))
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            raise PhotoError(f"{name}: {NEEDS_HEIF}") from None
        # Not registered with Pillow, which would change it for the whole process.
        return HeifImageFile(BytesIO(data))  # type: ignore[no-untyped-call]  # pillow_heif has no annotations


def _one_of(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


@contextmanager
def _decode_errors(name: str, max_pixels: int) -> Iterator[None]:
    """Turn any error of decoding into one line about the file."""
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
    with _decode_errors(name, max_pixels):
        _check_frames(image, name, notes)
        _check_samples(image, name, notes)
        image.load()
    _check_size(image.size, name, max_pixels)  # some containers decode to another size than they announce
    file_format = "JPEG" if image.format == "MPO" else image.format or "PNG"
    if file_format not in FORMATS:
        notes.append(f"{file_format} cannot be written here: the result is saved as PNG by default")
        file_format = "PNG"
    orientation, exif = read_exif(image, notes)
    if orientation in _ROTATIONS:
        notes.append("turned upright by its orientation tag")
    opaque, alpha = _split_alpha(image, name, notes)
    pixels = to_srgb(opaque, image.info.get("icc_profile"), notes)
    return Photo(
        pixels=_upright(pixels, orientation),
        alpha=None if alpha is None else _upright(alpha, orientation),
        format=file_format,
        name=name,
        exif=exif,
        notes=tuple(notes),
    )


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise PhotoError(
            f"{name} has {width} x {height} pixels, more than {max_pixels / 1e6:g} megapixels: make it smaller"
        )
    if min(size) < MIN_SIDE:
        raise PhotoError(
            f"{name} has {width} x {height} pixels, too small to protect: "
            f"give a photo of at least {MIN_SIDE} pixels a side"
        )


def _check_frames(image: Image.Image, name: str, notes: list[str]) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames == 1:
        return
    if image.format in ("MPO", "HEIF"):  # phones store gain maps, depth and bursts after the photo
        notes.append(f"only the main picture of the {frames} in the file is kept")
    elif image.format == "TIFF":
        raise PhotoError(f"{name} has {frames} pages: save the page to protect as a file of its own")
    else:
        raise PhotoError(f"{name} is an animation of {frames} frames: save the frame to protect as JPEG or PNG")


def _check_samples(image: Image.Image, name: str, notes: list[str]) -> None:
    """Refuse sample types without an agreed conversion to 8 bits; note a depth that 8 bits lose."""
    tags = getattr(image, "tag_v2", {})
    # Raw files are TIFFs whose first page is a preview: DNGVersion, or NewSubfileType "reduced resolution".
    if 50706 in tags or tags.get(254, 0) & 1:
        raise PhotoError(f"{name} is a camera's raw file: export it as JPEG or TIFF")
    samples = str(getattr(image, "tile", ""))
    # WhiteIsZero, which Pillow respects only for 8 bits.
    inverted = image.mode.startswith("I;16") and tags.get(262) == 0
    if image.mode in ("F", "I") or ";12" in samples or inverted:
        kind = {"F": "floating-point", "I": "32-bit"}.get(image.mode, "inverted 16-bit" if inverted else "12-bit")
        raise PhotoError(
            f"{name} has {kind} samples without a standard conversion to 8 bits: export it with 8 bits a channel"
        )
    if image.mode.startswith("I;16") or ";16" in samples or image.info.get("bit_depth", 8) > 8:
        notes.append("more than 8 bits a channel were reduced to 8")


# EXIF orientation -> (quarter turns counter-clockwise, whether to mirror left to right after them).
_ROTATIONS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


def _upright(array: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    turns, mirror = _ROTATIONS.get(orientation, (0, False))
    turned = np.rot90(array, turns)
    return np.ascontiguousarray(turned[:, ::-1] if mirror else turned)


def _split_alpha(image: Image.Image, name: str, notes: list[str]) -> tuple[Image.Image, npt.NDArray[np.uint8] | None]:
    """Return the opaque picture in mode L, RGB or CMYK, and its alpha."""
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
        raise PhotoError(f"{name} has {mode} colours, which are not read here: export it as RGB") from None
    alpha = np.array(full.getchannel("A")) if full.mode == "RGBA" else None
    gray = mode in ("1", "L", "LA")
    return (image if gray else full).convert("L" if gray else "RGB"), alpha
