"""The captioner: which models it accepts, the effect of captions, and that no file contains them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from anti_i2v import Protector, RecipeError, SurrogateError, VideoOptions
from anti_i2v.images.decode import open_photo
from anti_i2v.paths import home
from anti_i2v.surrogates.backbones.loading import load_backbone
from anti_i2v.surrogates.captioner import caption_photo, locate_captioner
from anti_i2v_cli import app

DATA = Path(__file__).parents[3] / "data"
SPECIAL = {name: f"[{name[:3].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token", "bos_token")}
WORDS = [*SPECIAL.values(), "a", "person", "smiles", "in", "the", "sun", "cat", "looks", "at", "us", "sky"]


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BLIP of 16 channels with random weights, and a tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipProcessor, PreTrainedTokenizerFast
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "projection_dim": 16}
    tokens: dict[str, Any] = {"pad_token_id": 0, "sep_token_id": 3, "eos_token_id": 3, "bos_token_id": 4}
    settings = BlipConfig(
        text_config={"vocab_size": len(WORDS), "encoder_hidden_size": 16, **sizes, **tokens},
        vision_config={"image_size": 32, "patch_size": 8, **sizes},
        projection_dim=16,
    )
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = BlipForConditionalGeneration(settings).eval()
        for name, parameter in model.named_parameters():
            if "layernorm" not in name.lower() and "layer_norm" not in name:
                torch.nn.init.normal_(parameter, std=0.6)
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    reads = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)
    folder = tmp_path_factory.mktemp("captioners") / "blip"
    model.save_pretrained(folder)
    BlipProcessor(BlipImageProcessorPil(size={"height": 32, "width": 32}), reads).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("chelsea", "rocket"):
        Image.fromarray(photo(name)).save(folder / f"{name}.png")
    return folder


def photo(name: str) -> np.ndarray:
    with Image.open(DATA / f"{name}.jpg") as image:
        return np.asarray(image.convert("RGB").resize((96, 64)))


def full(model: Path, **options: Any) -> Protector:
    settings: dict[str, Any] = {"short_side": 64, "steps": 3, "noise_samples": 2}
    return Protector("full", surrogates=[model], device="cpu", video=VideoOptions(frames=2, **options), **settings)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_caption_is_the_models_own_and_the_same_for_the_same_photo(captioner: Path) -> None:
    from transformers import AutoProcessor, BlipForConditionalGeneration

    captions = {name: caption_photo(photo(name), captioner) for name in ("chelsea", "rocket")}
    assert captions["chelsea"] != captions["rocket"]
    assert caption_photo(photo("chelsea"), captioner) == captions["chelsea"]
    processor: Any = AutoProcessor.from_pretrained(captioner)
    model: Any = BlipForConditionalGeneration.from_pretrained(captioner)
    theirs = model.generate(**processor(images=[photo("rocket")], return_tensors="pt"), num_beams=3, max_new_tokens=30)
    assert processor.batch_decode(theirs, skip_special_tokens=True) == [captions["rocket"]]


def test_the_captioner_is_freed_after_the_caption(captioner: Path) -> None:
    import gc

    from transformers import BlipForConditionalGeneration

    gc.disable()
    try:
        caption_photo(photo("chelsea"), captioner)
        assert not any(type(each) is BlipForConditionalGeneration for each in gc.get_objects())
    finally:
        gc.enable()


@pytest.mark.parametrize("family", ["cogvideox", "wan21", "ltx", "hunyuan", "i2vgenxl"])
def test_another_caption_is_embedded_without_another_denoiser(family: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(f"{family}_folder")
    model, other = (load_backbone(folder, caption=text) for text in ("a person smiles", "the sun"))
    denoiser, before = model.denoiser, model.context
    model.recaption("the sun")
    assert model.denoiser is denoiser
    assert model.context.keys() == other.context.keys()
    for name, value in model.context.items():
        assert torch.equal(value, other.context[name])
    assert any(not torch.equal(value, before[name]) for name, value in model.context.items())
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for name, value in model.precompute(pixels).items():  # HunyuanVideo: LLaVA's embedding of photo and caption
        assert torch.equal(value, other.precompute(pixels)[name])


def test_a_model_without_a_text_encoder_ignores_the_caption(svd_folder: Path) -> None:
    model = load_backbone(svd_folder)
    model.recaption("the sun")
    assert model.context == {}


ROUNDING = 0.003
"""Share of values that may differ: two loads of one folder differed in the last bit, which steps amplify."""


def apart(one: Any, other: Any) -> float:
    first, second = (getattr(each, "photo", each).pixels for each in (one, other))
    return float((first != second).mean())


def context_of(protector: Protector) -> torch.Tensor:
    (model,) = protector._engine._models
    return model.context["text"]


def test_a_generated_caption_has_the_effect_of_the_same_given_caption(
    cogvideox_folder: Path, captioner: Path, photos: Path
) -> None:
    captioned = full(cogvideox_folder, captioner=captioner)
    made = captioned.protect(photos / "rocket.png", effects=False)
    assert made.caption == caption_photo(photo("rocket"), captioner)  # nothing is scaled at this size
    written, silent = full(cogvideox_folder, caption=made.caption), full(cogvideox_folder)
    given, quiet = (each.protect(photos / "rocket.png", effects=False) for each in (written, silent))
    assert given.caption is None
    generated, same, empty = (context_of(each) for each in (captioned, written, silent))
    assert torch.equal(generated, same)
    assert not torch.equal(generated, empty)
    assert apart(made, given) < ROUNDING
    assert apart(made, quiet) > 0


def test_each_photo_of_a_folder_has_its_own_caption(
    cogvideox_folder: Path, captioner: Path, photos: Path, tmp_path: Path
) -> None:
    from anti_i2v.batch import protect_folder

    protector = full(cogvideox_folder, captioner=captioner)
    results = protect_folder(photos, tmp_path / "out", protector, effects=False)
    assert [result.error for result in results] == [None, None]
    for result in results:
        assert result.caption == caption_photo(photo(result.path.stem), captioner)
        by_hand = full(cogvideox_folder, caption=result.caption).protect(result.path, effects=False)
        assert apart(by_hand, open_photo(result.target)) < ROUNDING


def test_the_command_line_shows_the_caption_and_no_file_holds_it(
    cogvideox_folder: Path, captioner: Path, photos: Path, tmp_path: Path
) -> None:
    arguments = [
        "--recipe",
        "full",
        "--surrogate",
        cogvideox_folder,
        "--frames",
        2,
        "--device",
        "cpu",
        "--deadline",
        1,  # for each photo; the deadline does not change the caption
    ]
    arguments += ["--captioner", captioner, "--no-effects", "--receipt"]
    result = run("protect", photos / "rocket.png", "-o", tmp_path / "out.png", *arguments, tmp_path / "receipt.json")
    assert result.exit_code == 0, result.output
    caption = caption_photo(photo("rocket"), captioner)
    assert f"Caption: {caption}\n" in result.output
    assert "a captioner made the caption" in result.output
    assert "a captioner made the caption" in (tmp_path / "receipt.json").read_text()
    written = [path for folder in (tmp_path, home()) for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 2
    assert not any(caption.encode() in path.read_bytes() for path in written)
    result = run("protect", photos, "-o", tmp_path / "all", *arguments, tmp_path / "receipts.json")
    assert result.exit_code == 0, result.output
    assert f"caption: {caption}\n" in result.output


def test_a_captioner_from_a_hub_downloads_only_the_files_that_are_read(
    captioner: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    requested: dict[str, Any] = {}

    def snapshot(repository: str, **options: Any) -> str:
        requested.update(options, repository=repository)
        return str(captioner)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert locate_captioner("somebody/captioner") == captioner
    assert requested["repository"] == "somebody/captioner"
    assert requested["allow_patterns"] == ["*.json", "*.txt", "*.safetensors"]


def only_pickle(folder: Path) -> None:
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()


def another_model(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"architectures": ["CLIPModel"]}))


def truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


UNFIT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (shutil.rmtree, "unknown captioner .*: give a folder or a hub name of a BLIP model"),
    "an empty folder": (lambda folder: (folder / "config.json").unlink(), r"has no config\.json"),
    "another model": (another_model, "holds a CLIPModel, not BlipForConditionalGeneration: name a BLIP captioner"),
    "only a pickle": (only_pickle, r"has no safetensors weights \(pickles are never read\)"),
    "truncated weights": (truncate, "is truncated or damaged"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "has no readable BLIP processor"),
}


@pytest.mark.parametrize(("spoil", "message"), UNFIT.values(), ids=UNFIT)
def test_an_unusable_captioner_is_refused_in_one_line(
    spoil: Callable[[Path], Any], message: str, captioner: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(captioner, tmp_path / "captioner"))
    spoil(folder)
    with pytest.raises(SurrogateError, match=message) as refused:
        caption_photo(photo("chelsea"), locate_captioner(folder))
    assert "\n" not in str(refused.value)


def test_a_missing_package_names_the_extra(captioner: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SurrogateError, match=r'needs transformers: pip install "anti-i2v-sdk\[backbones\]"'):
        locate_captioner(captioner)


def test_a_caption_is_given_or_made(cogvideox_folder: Path, captioner: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="caption and captioner exclude each other"):
        VideoOptions(caption="a person", captioner=captioner)
    requested = ["--recipe", "full", "--surrogate", cogvideox_folder, "--caption", "a person", "--captioner", captioner]
    result = run("protect", photos / "rocket.png", "-o", tmp_path / "out.png", *requested)
    assert result.exit_code == 2
    assert "caption and captioner exclude each other: leave one of them out" in result.output
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("surrogates", [[], ["embedded"]], ids=["none", "an encoder"])
def test_encoders_read_no_caption(surrogates: list[str], captioner: Path, photos: Path, tmp_path: Path) -> None:
    named = [word for name in surrogates for word in ("--surrogate", name)]
    result = run("protect", photos / "rocket.png", "-o", tmp_path / "out.png", "--captioner", captioner, *named)
    assert result.exit_code == 2
    assert "--captioner is for whole video models: name one with --surrogate" in result.output
