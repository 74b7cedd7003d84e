"""Embeddings of captions, cached on disk so that the text encoder can be freed.

The text encoder is the largest part of several families (T5-XXL: 9 GB), and a caption passes it once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from anti_i2v.errors import SurrogateError
from anti_i2v.files import write_atomic
from anti_i2v.paths import home
from anti_i2v.surrogates.backbones.parts import Parts

__all__ = ["cached_embedding", "t5_embedding"]


def cached_embedding(
    folder: Path, caption: str, encode: Callable[[], Mapping[str, torch.Tensor]], *, kind: str
) -> dict[str, torch.Tensor]:
    """Embed a caption with `encode`, or read the embedding from the disk cache.

    Args:
        folder: the model's folder. The names, sizes and times of its text encoder's files are part of the key.
        caption: part of the key. The file is named by a hash and does not contain the caption.
        encode: loads tokenizer and text encoder, and returns tensors of one caption, (1, ...) each.
        kind: part of the key: other settings, such as the length.
    """
    digest = hashlib.sha256(f"{kind}\0{caption}\0{folder.resolve()}".encode())
    for part in sorted(folder.glob("t*er*")):  # text_encoder*, tokenizer*; and transformer
        if part.name.startswith("transformer"):
            continue
        for file in sorted(part.iterdir()):
            facts = os.stat(file)
            digest.update(f"{part.name}/{file.name} {facts.st_size} {facts.st_mtime_ns}\0".encode())
    kept = home() / "prompts" / f"{digest.hexdigest()}.safetensors"
    if kept.is_file():
        try:
            return load_file(kept)
        except SafetensorError:  # damaged: embedded again below
            pass
    with torch.no_grad():
        made = {name: tensor.detach().float().cpu().contiguous() for name, tensor in encode().items()}
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(kept, save(made), overwrite=True)
    return made


def t5_embedding(parts: Parts, length: int, kinds: tuple[str, ...] = ("T5EncoderModel",)) -> torch.Tensor:
    """Embed the caption with the folder's tokenizer and T5, padded to `length` tokens: (1, length, D)."""
    tokens = tokenized(parts.folder / "tokenizer", parts.caption, length)
    encoder: Any = parts.load("text_encoder", kinds, "transformers")
    embedding: torch.Tensor = encoder(tokens["input_ids"].to(parts.device))[0]
    return embedding


def tokenized(folder: Path, caption: str, length: int) -> Mapping[str, torch.Tensor]:
    """Tokenize a caption to ids and their mask, (1, length). Raises SurrogateError."""
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise SurrogateError(f'{folder} needs transformers: pip install "anti-i2v-sdk[backbones]"') from None
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError) as problem:
        first_line = str(problem).strip().splitlines()[0]
        raise SurrogateError(f"{folder} has no readable tokenizer: {first_line}") from None
    found: Mapping[str, torch.Tensor] = tokenizer(
        [caption], padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    )
    return found
