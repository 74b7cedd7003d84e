"""HunyuanVideo: LLaVA, and two ways for the photo to enter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from anti_i2v.errors import SurrogateError
from anti_i2v.objectives.binding import bind_objectives
from anti_i2v.objectives.representation_collapse import RepresentationCollapse
from anti_i2v.optim.update_rules import value_and_gradient
from anti_i2v.paths import home
from anti_i2v.surrogates.backbones.loading import load_backbone
from anti_i2v.surrogates.backbones.parts import Parts
from anti_i2v.surrogates.info import SurrogateInfo, sample_inputs

CAPTION = "a person smiles"


@pytest.fixture(params=["hunyuan", "hunyuan33"])
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{request.param}_folder")
    return found


def photo(seed: int = 0) -> torch.Tensor:
    coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear").mul(0.8).add(0.1)


def test_llava_reads_photo_and_caption_and_is_freed(folder: Path) -> None:
    model = load_backbone(folder, caption=CAPTION)
    before = {path: path.stat().st_mtime_ns for path in home().rglob("*")}
    one, other = model.precompute(photo()), model.precompute(photo(1))
    assert {path: path.stat().st_mtime_ns for path in home().rglob("*")} == before
    assert not torch.allclose(one["text"], other["text"])
    assert torch.equal(one["text_mask"], other["text_mask"])
    conditioning = load_backbone(folder, caption="the sun").precompute(photo())
    assert one["text_mask"].sum() == conditioning["text_mask"].sum() + 1
    assert not any(
        "text_encoder" in name or "llava" in type(part).__name__.lower() for name, part in model.named_modules()
    )


def test_blocks_are_recomputed_where_the_pass_ends_early_too(folder: Path) -> None:
    clean, gradients = photo(), []
    for on in (False, True):
        model = load_backbone(folder, caption=CAPTION, hooks=("early", "late"), frames=2, checkpointing=on)
        gradients.append(
            value_and_gradient(bind_objectives({RepresentationCollapse(): 1.0}, model, clean), clean + 0.01)[1]
        )
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)


def test_a_clip_is_cut_or_repeats_its_last_frame(folder: Path) -> None:
    model = load_backbone(folder, caption=CAPTION, frames=3)
    short, long = photo().expand(2, -1, -1, -1), photo().expand(20, -1, -1, -1)
    video = model.encode_video(short)
    assert video.shape == (1, 4, 3, 8, 8)
    assert torch.equal(video, model.encode_video(long))
    torch.testing.assert_close(video[:, :, 0], model.encode(photo()))


def test_a_photo_is_decoded_from_its_latent(folder: Path) -> None:
    model, pixels = load_backbone(folder, caption=CAPTION), photo().requires_grad_()
    decoded = model.decode(model.encode(pixels))
    decoded.sum().backward()
    assert decoded.shape == pixels.shape
    assert pixels.grad is not None


def test_the_late_blocks_are_single_stream_and_the_early_one_is_dual_stream(folder: Path) -> None:
    singles = [f"single_transformer_blocks.{index}" for index in range(3)]
    assert load_backbone(folder, caption=CAPTION).collapse_pairs() == tuple(
        (each, "transformer_blocks.3") for each in singles
    )


def test_a_photo_in_place_of_the_first_frame_needs_a_second(hunyuan_folder: Path, hunyuan33_folder: Path) -> None:
    with pytest.raises(SurrogateError, match="needs 2 latent frames or more: the first one is the photo itself"):
        load_backbone(hunyuan_folder, caption=CAPTION, frames=1)
    model, pixels = load_backbone(hunyuan33_folder, caption=CAPTION, frames=1, hooks=("prediction",)), photo()
    arrays = sample_inputs(model.random_inputs, tuple(pixels.shape), np.random.default_rng(0))
    inputs = {
        **model.context,
        **model.precompute(pixels),
        **{name: torch.from_numpy(each) for name, each in arrays.items()},
    }
    assert model.features(pixels, inputs)["prediction"].shape == (1, 4, 1, 8, 8)


def test_files_that_llava_lacks_are_reported_at_load(hunyuan_folder: Path, tmp_path: Path) -> None:
    for part in ("text_encoder", "tokenizer", "image_processor"):
        copy = Path(shutil.copytree(hunyuan_folder, tmp_path / part))
        shutil.rmtree(copy / part)
        with pytest.raises(SurrogateError, match=rf"{part} (has no|holds no)"):
            load_backbone(copy, caption=CAPTION)


def test_a_text_to_video_model_is_refused(hunyuan_folder: Path, tmp_path: Path) -> None:
    import diffusers

    copy = Path(shutil.copytree(hunyuan_folder, tmp_path / "text"))
    settings = json.loads((copy / "transformer" / "config.json").read_text())
    made = diffusers.HunyuanVideoTransformer3DModel.from_config({**settings, "image_condition_type": None})
    shutil.rmtree(copy / "transformer")
    made.save_pretrained(copy / "transformer")
    with pytest.raises(SurrogateError, match="text generates videos from text only: its denoiser takes no photo"):
        load_backbone(copy, caption=CAPTION)


@pytest.mark.parametrize(("free", "where"), [(1, "cpu"), (2**40, "cuda")])
def test_llava_runs_where_memory_is_free(
    free: int, where: str, hunyuan_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2**40))
    info = SurrogateInfo(name="it", kind="", source="", fingerprint="", licence="")
    assert Parts(hunyuan_folder, info, device=torch.device("cuda")).with_room("text_encoder").device.type == where
