"""Caption a photo with a vision-language model (BLIP), for the text encoders of video models.

    folder = locate_captioner("Salesforce/blip-image-captioning-base")
    caption_photo(photo, folder)      # "a woman with a camera"

The package ships no captioner. A caption describes a private photo, so it is never written to a file.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.hub import HUB_NAME, download

__all__ = ["KIND", "caption_photo", "locate_captioner"]

KIND = "BlipForConditionalGeneration"
"""The class in transformers of BLIP (Li et al. 2022, arXiv 2201.12086)."""

DOWNLOAD_PATTERNS = ["*.json", "*.txt", "*.safetensors"]
"""Files of the hub that are read."""

BEAMS, TOKENS = 3, 30
"""As in BLIP's own settings. Nothing is sampled: the same photo gives the same caption."""


def locate_captioner(name_or_folder: str | Path) -> Path:
    """Find the folder of a captioner by path or hub name (owner/repository, which is downloaded unpinned).

    The weights are not loaded, so errors appear before any long work.

    Raises:
        SurrogateError: transformers is missing, there is no such folder or repository, or it holds another model.
    """
    if find_spec("transformers") is None:
        raise SurrogateError('a captioner needs transformers: pip install "anti-i2v-sdk[backbones]"')
    folder = Path(name_or_folder)
    if not folder.is_dir() and HUB_NAME.fullmatch(str(name_or_folder)):
        folder = download(str(name_or_folder), DOWNLOAD_PATTERNS)
    if not folder.is_dir():
        raise SurrogateError(f"unknown captioner {str(name_or_folder)!r}: give a folder or a hub name of a BLIP model")
    from anti_i2v.surrogates.backbones.parts import architecture

    if (kind := architecture(folder)) != KIND:
        raise SurrogateError(f"{folder} holds a {kind or 'model of unknown class'}, not {KIND}: name a BLIP captioner")
    if not any(folder.glob("*.safetensors")):
        raise SurrogateError(f"{folder} has no safetensors weights (pickles are never read): name another captioner")
    return folder


def caption_photo(photo: npt.NDArray[np.uint8], folder: Path) -> str:
    """Caption a photo, (H, W, 3) uint8, in one line. The captioner is freed afterwards.

    It runs on the CPU, where it takes seconds, to leave a GPU's memory to the video model.

    Raises:
        SurrogateError: the folder holds no captioner (see `locate_captioner`), or a file of it is damaged.
    """
    import torch
    from PIL import Image

    from anti_i2v.surrogates.backbones.parts import pretrained

    captioner: Any = pretrained("transformers", KIND, folder, torch.float32).eval()
    processor = _processor(folder)
    inputs = processor(images=Image.fromarray(photo), return_tensors="pt")
    with torch.inference_mode():
        tokens = captioner.generate(**inputs, do_sample=False, num_beams=BEAMS, max_new_tokens=TOKENS)
    return " ".join(processor.decode(tokens[0], skip_special_tokens=True).split())


def _processor(folder: Path) -> Any:
    from transformers import BlipProcessor

    kind: Any = BlipProcessor
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as problem:
        first_line = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        raise SurrogateError(f"{folder} has no readable BLIP processor: {first_line}") from None
