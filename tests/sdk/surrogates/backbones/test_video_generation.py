"""Generated videos equal those of diffusers' pipelines from the same noise."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from anti_i2v import Cancelled, Protector, SurrogateError, VideoOptions
from anti_i2v.surrogates.backbones import loading
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.backbones.cogvideox import CogVideoX
from anti_i2v.surrogates.backbones.loading import load_backbone
from anti_i2v.surrogates.backbones.video_generation import generate, sample_noise
from anti_i2v.surrogates.info import sample_inputs
from anti_i2v_cli import app

CAPTION = "a person smiles"
HEIGHT, WIDTH, STEPS, SEED = 32, 64, 4, 3

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""diffusers' EulerDiscreteScheduler, with NumPy 2."""


@pytest.fixture
def photo() -> Image.Image:
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (4, 8, 3), np.uint8))
    return coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


@pytest.fixture
def mode_for_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pipelines take the mode of the photo's latent, which they would sample."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())


def pixels_of(photo: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(photo)).permute(2, 0, 1).unsqueeze(0) / 255


def pipeline_of(name: str, folder: Path) -> Any:
    import diffusers

    pipeline = getattr(diffusers, name).from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def rescheduled(folder: Path, tmp_path: Path, **changes: Any) -> Path:
    """The model with other settings of its scheduler."""
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    file = copy / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return copy


PIPELINES = {
    "cogvideox": "CogVideoXImageToVideoPipeline",
    "hunyuan": "HunyuanVideoImageToVideoPipeline",
    "i2vgenxl": "I2VGenXLPipeline",
    "ltx": "LTXImageToVideoPipeline",
    "svd": "StableVideoDiffusionPipeline",
    "wan": "WanImageToVideoPipeline",
}


def video_of(run: Callable[..., Any], output: str) -> torch.Tensor:
    with torch.no_grad():
        video: torch.Tensor = run(output_type=output).frames
    return video


def check(
    model: Backbone, photo: Image.Image, run: Callable[..., Any], *, dropped: int = 0, close: float = 1e-5
) -> None:
    """Compare our video with the pipeline's, as latents (of which the pipeline drops the first ones) and as pixels."""
    ours = generate(model, pixels_of(photo), seeds=SEED, steps=STEPS)
    assert ours.shape == sample_noise(model, pixels_of(photo), [SEED])["noise"].shape
    theirs, axis = video_of(run, "latent"), 1 if ours.shape[1] == model.frames else 2
    kept = ours.narrow(axis, dropped, model.frames - dropped)
    torch.testing.assert_close(kept, theirs, rtol=close, atol=close)
    assert float(ours.std()) > 0.1
    with torch.no_grad():
        pixels, expected = model.decode_video(ours), video_of(run, "pt")
    assert pixels.shape[1] >= expected.shape[1] or dropped == 0
    count = min(pixels.shape[1], expected.shape[1])  # an even number of CogVideoX's latent frames: see decode_video
    torch.testing.assert_close(pixels[:, -count:], expected[:, -count:], rtol=close, atol=close)
    assert float(pixels.std()) > 0.02


COGVIDEOX: dict[str, tuple[str, int, dict[str, Any]]] = {
    "1.0": ("cogvideox", 3, {}),
    "1.5": ("cogvideox15", 4, {}),
    "no signal at the end": ("cogvideox", 3, {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}),
}
"""Version -> folder, latent frames, settings of the scheduler; the last one as in the published weights."""


@pytest.mark.usefixtures("mode_for_sample")
@pytest.mark.parametrize(("version", "frames", "changes"), COGVIDEOX.values(), ids=COGVIDEOX)
def test_cogvideox_generates_what_its_pipeline_does(
    version: str,
    frames: int,
    changes: dict[str, Any],
    photo: Image.Image,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    folder = rescheduled(request.getfixturevalue(f"{version}_folder"), tmp_path, **changes)
    model, pipeline = load_backbone(folder, caption=CAPTION, frames=frames), pipeline_of(PIPELINES["cogvideox"], folder)
    settings = {"height": HEIGHT, "width": WIDTH, "num_frames": 2 * (frames - 1) + 1, "guidance_scale": 1}
    settings |= {"num_inference_steps": STEPS, "max_sequence_length": 6}
    noise = sample_noise(model, pixels_of(photo), [SEED])["noise"]
    check(model, photo, lambda **output: pipeline(photo, CAPTION, latents=noise, **settings, **output))


def test_svd_generates_what_its_pipeline_does(
    svd_folder: Path, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers.pipelines.stable_video_diffusion import pipeline_stable_video_diffusion as module

    model, pipeline = load_backbone(svd_folder, frames=3), pipeline_of(PIPELINES["svd"], svd_folder)
    samples = sample_noise(model, pixels_of(photo), [SEED])
    # With given latents, the pipeline samples only the noise on the photo.
    monkeypatch.setattr(module, "randn_tensor", lambda *shape, **options: samples["augmentation"])
    settings = {"height": HEIGHT, "width": WIDTH, "num_frames": 3, "num_inference_steps": STEPS}
    settings |= {"min_guidance_scale": 1.0, "max_guidance_scale": 1.0}
    check(model, photo, lambda **output: pipeline(photo, latents=samples["noise"], **settings, **output))


@pytest.mark.usefixtures("mode_for_sample")
@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_i2vgenxl_generates_what_its_pipeline_does(
    prediction: str, i2vgenxl_folder: Path, photo: Image.Image, tmp_path: Path
) -> None:
    # Without signal at the last timestep, noise cannot be predicted.
    changes = {"prediction_type": prediction, "rescale_betas_zero_snr": prediction != "epsilon"}
    folder = rescheduled(i2vgenxl_folder, tmp_path, **changes)
    model, pipeline = load_backbone(folder, caption=CAPTION, frames=3), pipeline_of(PIPELINES["i2vgenxl"], folder)
    encoder = pipeline.text_encoder
    object.__setattr__(encoder, "text_model", encoder)  # the pipeline needs it; transformers 5 removed it
    settings = {"height": HEIGHT, "width": WIDTH, "num_frames": 3, "guidance_scale": 1, "num_inference_steps": STEPS}
    noise = sample_noise(model, pixels_of(photo), [SEED])["noise"]
    # The pipeline resizes CLIP's input with 8-bit rounding.
    check(model, photo, lambda **output: pipeline(CAPTION, photo, latents=noise, **settings, **output), close=1e-4)


WAN: dict[str, tuple[str, float, str]] = {
    "2.1": ("wan21", 0.005, "FlowMatchEulerDiscreteScheduler"),  # the pipeline's processor for CLIP rounds to 8 bits
    "2.2 5B": ("wan5b", 1e-5, "FlowMatchEulerDiscreteScheduler"),
    "2.2 5B, UniPC": ("wan5b", 1e-5, "UniPCMultistepScheduler"),
}
"""Version -> folder, tolerance, scheduler; the last one as in the published weights."""


@pytest.mark.parametrize(("version", "close", "scheduler"), WAN.values(), ids=WAN)
def test_wan_generates_what_its_pipeline_does(
    version: str,
    close: float,
    scheduler: str,
    photo: Image.Image,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from diffusers.pipelines.wan import pipeline_wan_i2v

    monkeypatch.setattr(pipeline_wan_i2v, "basic_clean", str.strip)  # it would need ftfy
    changes = {"_class_name": scheduler, "flow_shift": 5.0, "use_flow_sigmas": True}
    changes |= {"prediction_type": "flow_prediction"}
    folder = rescheduled(request.getfixturevalue(f"{version}_folder"), tmp_path, **changes)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index["scheduler"] = ["diffusers", scheduler]
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    model, pipeline = load_backbone(folder, caption=CAPTION, frames=3), pipeline_of(PIPELINES["wan"], folder)
    assert type(model.scheduler()) is type(pipeline.scheduler)
    settings = {"height": HEIGHT, "width": WIDTH, "num_frames": 9, "guidance_scale": 1, "num_inference_steps": STEPS}
    noise = sample_noise(model, pixels_of(photo), [SEED])["noise"]
    check(model, photo, lambda **output: pipeline(photo, CAPTION, latents=noise, **settings, **output), close=close)


@pytest.mark.usefixtures("mode_for_sample")
def test_ltx_generates_what_its_pipeline_does(ltx_folder: Path, photo: Image.Image) -> None:
    model, pipeline = load_backbone(ltx_folder, caption=CAPTION, frames=3), pipeline_of(PIPELINES["ltx"], ltx_folder)
    for block in pipeline.vae.decoder.modules():
        if hasattr(block, "per_channel_scale1"):  # noise in the decoder
            block.per_channel_scale1 = block.per_channel_scale2 = None
    pixels = pixels_of(photo)
    video = sample_noise(model, pixels, [SEED])["noise"]
    video[:, :, 0] = model.encode(pixels)
    settings = {"height": HEIGHT, "width": WIDTH, "num_frames": 9, "guidance_scale": 1, "num_inference_steps": STEPS}
    given = pipeline._pack_latents(video)

    def run(output_type: str) -> Any:
        found = pipeline(photo, CAPTION, latents=given, **settings, output_type=output_type)
        if output_type == "latent":
            found.frames = pipeline._unpack_latents(found.frames, 3, HEIGHT // 8, WIDTH // 8)
        return found

    check(model, photo, run)


@pytest.mark.parametrize(("version", "dropped"), [("hunyuan", 0), ("hunyuan33", 1)])
def test_hunyuan_generates_what_its_pipeline_does(
    version: str, dropped: int, photo: Image.Image, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(f"{version}_folder")
    model, pipeline = load_backbone(folder, caption=CAPTION, frames=3), pipeline_of(PIPELINES["hunyuan"], folder)
    settings = {"height": HEIGHT, "width": WIDTH, "num_frames": 9, "guidance_scale": 6, "num_inference_steps": STEPS}
    noise = sample_noise(model, pixels_of(photo), [SEED])["noise"]
    # The processor before LLaVA rounds to 8 bits.
    check(
        model,
        photo,
        lambda **output: pipeline(photo, CAPTION, latents=noise, **settings, **output),
        dropped=dropped,
        close=1e-4,
    )


RNG = np.random.default_rng(0)

FAMILIES = ["cogvideox", "cogvideox15", "hunyuan", "hunyuan33", "i2vgenxl", "ltx", "svd", "wan21", "wan5b"]


def load(version: str, request: pytest.FixtureRequest, **options: Any) -> Backbone:
    return load_once(request.getfixturevalue(f"{version}_folder"), **options)


@cache
def load_once(folder: Path, **options: Any) -> Backbone:
    return load_backbone(folder, caption=CAPTION, frames=2, **options)


def photos(count: int) -> torch.Tensor:
    coarse = torch.rand(count, 3, 4, 8, generator=torch.Generator().manual_seed(5))
    return torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("version", FAMILIES)
def test_a_photos_video_depends_on_its_seed_and_on_no_other_photo(version: str, request: pytest.FixtureRequest) -> None:
    model, clean = load(version, request), photos(2)
    both = generate(model, clean, seeds=[7, 8], steps=2)
    for index, seed in enumerate((7, 8)):
        single = generate(model, clean[index : index + 1], seeds=seed, steps=2)
        torch.testing.assert_close(both[index], single[0], rtol=1e-4, atol=1e-4)
    other = generate(model, clean[:1], seeds=8, steps=2)
    assert torch.equal(other, generate(model, clean[:1], seeds=[8], steps=2))
    assert not torch.allclose(both[:1], other, atol=0.01)
    assert not both.requires_grad


@pytest.mark.parametrize("hooks", [("early",), ("late", "prediction"), ("all",)], ids="-".join)
@pytest.mark.parametrize("version", ["cogvideox", "svd", "hunyuan"])
def test_hooks_do_not_change_a_video_and_work_again_afterwards(
    version: str, hooks: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    plain, hooked, clean = load(version, request), load(version, request, hooks=hooks), photos(1)
    assert torch.equal(generate(plain, clean, seeds=1, steps=2), generate(hooked, clean, seeds=1, steps=2))

    def stopped() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        generate(hooked, clean, seeds=1, steps=2, on_step=stopped)
    samples = {
        name: torch.from_numpy(each)
        for name, each in sample_inputs(hooked.random_inputs, (1, 3, HEIGHT, WIDTH), RNG).items()
    }
    seen = hooked.features(clean, {**hooked.context, **hooked.precompute(clean), **samples})
    assert set(hooked.hooked_layers) <= set(seen)


@pytest.mark.parametrize("version", FAMILIES)
def test_a_clip_that_was_encoded_is_decoded_to_as_many_frames(version: str, request: pytest.FixtureRequest) -> None:
    model = load(version, request)
    clip = photos(1).expand(32, -1, -1, -1)
    latents = model.encode_video(clip)
    with torch.no_grad():
        video = model.decode_video(torch.cat([latents, latents.flip(-1)]))
    framewise = version in ("svd", "i2vgenxl")
    step = 1 if framewise else 2 if version.startswith("cogvideox") else 4
    assert video.shape == (2, (model.frames - 1) * step + 1, 3, HEIGHT, WIDTH)
    assert 0 <= float(video.min()) < float(video.max()) <= 1
    assert not torch.equal(video[0], video[1])


@pytest.mark.parametrize("version", ["cogvideox", "svd"])
def test_the_first_frame_decodes_as_the_photo_does(version: str, request: pytest.FixtureRequest) -> None:
    model, clean = load_backbone(request.getfixturevalue(f"{version}_folder"), frames=1), photos(1)
    still = model.static_video(model.encode(clean))
    torch.testing.assert_close(model.decode_video(still)[:, 0], model.decode(model.encode(clean)).clamp(0, 1))


def test_wrong_numbers_are_refused(cogvideox_folder: Path) -> None:
    model = load_backbone(cogvideox_folder, frames=2)
    with pytest.raises(ValueError, match="one seed a photo: got 3 for 2"):
        generate(model, photos(2), seeds=[1, 2, 3])
    with pytest.raises(ValueError, match="steps must be 1 or more, got 0"):
        generate(model, photos(1), seeds=1, steps=0)


@pytest.mark.parametrize("stage", ["high", "low"])
def test_one_of_two_denoisers_generates_no_video(stage: str, wan22_folder: Path) -> None:
    with pytest.raises(SurrogateError, match="is one of two denoisers, and a video takes both: give it a clip"):
        generate(load_backbone(wan22_folder, frames=2, stage=stage), photos(1), seeds=1)
    with pytest.raises(SurrogateError, match="give it a clip"):
        load_backbone(wan22_folder, frames=2, stage=stage, reference="generated")


def test_generating_without_a_scheduler_is_an_error(cogvideox_folder: Path) -> None:
    known = load_backbone(cogvideox_folder, frames=2)
    bare = CogVideoX(known.autoencoder, known.denoiser, known.info, known.alphas, context=known.context, frames=2)
    with pytest.raises(SurrogateError, match="has no scheduler, which generating takes: load it from its folder"):
        generate(bare, photos(1), seeds=1)


def test_a_scheduler_of_another_kind_is_replaced_by_the_familys_own(cogvideox_folder: Path, tmp_path: Path) -> None:
    folder = rescheduled(cogvideox_folder, tmp_path, _class_name="CogVideoXDPMScheduler")
    ours = [generate(load_backbone(each, frames=2), photos(1), seeds=1, steps=2) for each in (folder, cogvideox_folder)]
    # One model repeats itself to the last bit, but two loads of one folder differed by 6e-7.
    torch.testing.assert_close(*ours, atol=1e-5, rtol=0)


# As a reference ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", FAMILIES)
def test_a_generated_reference_is_the_video_of_its_seed(version: str, request: pytest.FixtureRequest) -> None:
    steps = 20 if version == "cogvideox" else 3  # one family at the full number
    reference: Any = "generated" if version == "cogvideox" else partial(generate, steps=steps)
    model, clean = load(version, request, hooks=("late", "prediction"), reference=reference), photos(2)
    calls: list[None] = []
    precomputed = model.precompute(clean, seed=5, on_step=lambda: calls.append(None))
    assert len(calls) == steps
    assert torch.equal(precomputed["reference"], generate(model, clean, seeds=5, steps=steps))
    assert precomputed["reference"].shape == model.static_video(model.encode(clean)).shape
    samples = {
        name: torch.from_numpy(each)
        for name, each in sample_inputs(model.random_inputs, (2, 3, HEIGHT, WIDTH), RNG).items()
    }
    seen = model.features(clean, {**model.context, **precomputed, **samples})
    assert all(feature.isfinite().all() for feature in seen.values())


@pytest.fixture(scope="module")
def cat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "cat.png"
    with Image.open(Path(__file__).parents[3] / "data" / "chelsea.jpg") as image:
        image.convert("RGB").resize((96, 64)).save(path)
    return path


SETTINGS: dict[str, Any] = {"short_side": 64, "steps": 2, "noise_samples": 1}


def test_a_protection_generates_its_reference_once_and_notes_it(
    cogvideox_folder: Path, cat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[torch.Tensor] = []

    def counted(*given: Any, **named: Any) -> torch.Tensor:
        made.append(generate(*given, **named))
        return made[-1]

    monkeypatch.setattr(loading, "generate", counted)
    found = {}
    for reference in (None, "generated"):
        video_options = VideoOptions(frames=2, reference=reference)
        protector = Protector("full", surrogates=[cogvideox_folder], device="cpu", video=video_options, **SETTINGS)
        found[reference] = [protector.protect(cat, seed=3, effects=False) for _ in range(2)]
    assert len(made) == 2  # once for each photo
    assert torch.equal(*made)  # from the run's seed
    one, two = found["generated"]
    assert np.array_equal(one.photo.pixels, two.photo.pixels)
    assert not np.array_equal(one.photo.pixels, found[None][0].photo.pixels)
    note = "reference: generated; each video model made its own from the clean photo, in 20 steps without guidance"
    assert note in one.receipt.notes
    assert note not in found[None][0].receipt.notes


def test_the_command_line_distinguishes_generated_from_a_file_of_that_name(
    cogvideox_folder: Path, cat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["protect", str(cat), "--recipe", "full", "--device", "cpu", "--surrogate", str(cogvideox_folder)]
    arguments += ["--frames", "2", "--deadline", "5", "--no-effects"]
    result = CliRunner().invoke(
        app, [*arguments, "-o", "one.png", "--reference", "generated", "--receipt", "receipt.json"]
    )
    assert result.exit_code == 0, result.output
    receipt = json.loads(Path("receipt.json").read_text(encoding="utf-8"))
    assert any(note.startswith("reference: generated") for note in receipt["notes"])
    result = CliRunner().invoke(app, [*arguments, "-o", "two.png", "--reference", "./generated"])
    assert result.exit_code != 0
    assert "generated does not exist: name a video file" in result.output


def test_a_deadline_and_a_cancellation_stop_the_generation_of_a_video(
    cogvideox_folder: Path, cat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video_options = VideoOptions(frames=2, reference="generated")
    protector = Protector("full", surrogates=[cogvideox_folder], device="cpu", video=video_options, **SETTINGS)
    done, cancel, slow = [], threading.Event(), threading.Event()

    def slowed(*given: Any, on_step: Callable[[], None], **named: Any) -> torch.Tensor:
        def one() -> None:
            done.append(None)
            if len(done) == 3:
                cancel.set()
            if slow.is_set():
                time.sleep(0.1)
            on_step()

        return generate(*given, on_step=one, **named)

    monkeypatch.setattr(loading, "generate", slowed)
    protector.protect(cat, effects=False)  # loads the model
    slow.set()
    done.clear()
    cancel.clear()
    stopped = protector.protect(cat, effects=False, deadline=0.5)
    assert (stopped.receipt.steps, stopped.receipt.stopped) == (0, "deadline")
    assert 1 <= len(done) < 10
    done.clear()
    cancel.clear()
    with pytest.raises(Cancelled, match="cancelled after 0 of 2 steps"):
        protector.protect(cat, effects=False, cancel=cancel)
    assert len(done) == 3
