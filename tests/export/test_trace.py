"""torch and ONNX Runtime give the same value and gradient, at sizes and batches that were not traced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from kornia.color import lab_to_rgb, rgb_to_lab
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

from anti_i2v.errors import SurrogateError
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.surrogates.backbones.cogvideox import CogVideoX, alphas_of
from anti_i2v.surrogates.info import SurrogateInfo
from anti_i2v.surrogates.student import load_student

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'anti-i2v-sdk[export]'")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install 'anti-i2v-sdk[export]'")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'anti-i2v-sdk[cpu]'")
diffusers = pytest.importorskip("diffusers", reason="needs diffusers: pip install 'anti-i2v-sdk[backbones]'")

tiny_models = pytest.importorskip("tests.tiny_models")
tracing = pytest.importorskip("anti_i2v_export.trace")  # below the others, whose reasons say what to install
half_weights, trace, value_and_gradient = tracing.half_weights, tracing.trace, tracing.value_and_gradient

BATCH, ROWS, COLUMNS = Dim("batch"), Dim("rows"), Dim("columns")
TRACED = (2, 4, 5)
UNSEEN = ((1, 6, 4), (3, 9, 8))
"""Batch, rows, columns; a row or column is as many pixels as the encoder's multiple."""

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Case:
    """A loss, inputs of any size for it, and their dynamic dimensions."""

    loss: Callable[..., torch.Tensor]
    inputs: Callable[[int, int, int], Inputs]
    dynamic: Mapping[str, Mapping[int, Dim]]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def of_size(multiple: int, latent: int, channels: int) -> tuple[Callable[[int, int, int], Inputs], dict[str, Any]]:
    """Pixels, and a clean feature `latent` times as large as the rows and columns."""

    def inputs(batch: int, rows: int, columns: int) -> Inputs:
        return {
            "pixels": noise(batch, 3, multiple * rows, multiple * columns),
            "clean": noise(batch, channels, latent * rows, latent * columns, seed=1),
        }

    return inputs, {
        "pixels": {0: BATCH, 2: multiple * ROWS, 3: multiple * COLUMNS},
        "clean": {0: BATCH, 2: latent * ROWS if latent > 1 else ROWS, 3: latent * COLUMNS if latent > 1 else COLUMNS},
    }


def log_error(feature: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    return -0.5 * torch.log((feature - clean).square().flatten(1).mean(1) + 1e-6)


def frozen(build: Callable[[], nn.Module]) -> Any:
    return tiny_models.seeded(build, fill_zeros=False).requires_grad_(False)


class Encoded(nn.Module):
    """The log error of a latent."""

    def __init__(self, encode: Callable[[torch.Tensor], torch.Tensor], model: nn.Module) -> None:
        super().__init__()
        self.encode, self.model = encode, model

    def forward(self, pixels: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        return log_error(self.encode(pixels * 2 - 1), clean)


def tiny(latent_channels: int = 4) -> Any:
    return frozen(lambda: tiny_models.autoencoder_tiny(latent_channels=latent_channels))


def tiny_encoder(latent_channels: int) -> Case:
    model = tiny(latent_channels)
    return Case(Encoded(model.encoder, model), *of_size(8, 1, latent_channels))


def tiny_decoded() -> Case:
    model = tiny()
    return Case(Encoded(lambda scaled: model.decoder(model.encoder(scaled)), model), *of_size(8, 8, 3))


def kl() -> Any:
    return frozen(tiny_models.autoencoder_kl)


def kl_encoder() -> Case:
    model = kl()
    return Case(Encoded(lambda scaled: model.encode(scaled).latent_dist.mode(), model), *of_size(8, 4, 4))


def kl_decoded() -> Case:
    model = kl()
    return Case(
        Encoded(lambda scaled: model.decode(model.encode(scaled).latent_dist.mode()).sample, model), *of_size(8, 8, 3)
    )


def cogvideox_encoder() -> Case:
    model = frozen(
        lambda: diffusers.AutoencoderKLCogVideoX(
            block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2
        )
    )

    def encode(scaled: torch.Tensor) -> torch.Tensor:
        latent: torch.Tensor = model.encode(scaled[:, :, None]).latent_dist.mode()[:, :, 0]
        return latent

    return Case(Encoded(encode, model), *of_size(8, 1, 4))


def student() -> Case:
    model = load_student()
    return Case(Encoded(lambda scaled: model.features(scaled.add(1).div(2))["latent"], model), *of_size(8, 1, 24))


def perceptual() -> Case:
    """LPIPS: five strided or pooled sizes, whose symbols make it slow to trace."""
    channels = (3, 64, 192, 384, 256, 256)
    kernels = (11, 5, 3, 3, 3)
    weights = {}
    for i, kernel in enumerate(kernels):
        shape = (channels[i + 1], channels[i], kernel, kernel)
        weights[f"features.{i}.weight"] = (noise(*shape, seed=i) - 0.5) / (channels[i] * kernel**2) ** 0.5
        weights[f"features.{i}.bias"] = noise(channels[i + 1], seed=i) / 10
        weights[f"heads.{i}.weight"] = noise(channels[i + 1], seed=i)
    lpips = Lpips(weights)

    def loss(pixels: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        distance: torch.Tensor = lpips(pixels, clean)
        return distance

    return Case(loss, *of_size(16, 16, 3))  # so large that no feature of the traced photos is one pixel high


class Denoised(nn.Module):
    """How far the first blocks of the SDK's own CogVideoX moved; noise, timestep, text and rotary tables are inputs."""

    frames = 2
    blocks = ("transformer_blocks.0", "transformer_blocks.1")

    def __init__(self) -> None:
        super().__init__()
        autoencoder = frozen(lambda: tiny_models.autoencoder_cogvideox(2, temporal_compression_ratio=2))
        transformer = frozen(lambda: tiny_models.cogvideox_transformer(text_embed_dim=12, num_layers=3))
        info = SurrogateInfo(name="tiny", kind="CogVideoX", source="test", fingerprint="", licence="none")
        levels = alphas_of({"prediction_type": "v_prediction"})
        self.model = CogVideoX(autoencoder, transformer, info, levels, hooks=self.blocks, frames=self.frames)

    def forward(
        self, pixels: torch.Tensor, first: torch.Tensor, second: torch.Tensor, **draw: torch.Tensor
    ) -> torch.Tensor:
        features = self.model.features(pixels, draw)
        return sum(
            log_error(features[name], clean.flatten(1, 3))
            for name, clean in zip(self.blocks, (first, second), strict=True)
        )


def denoiser() -> Case:
    frames = Denoised.frames

    def inputs(batch: int, rows: int, columns: int) -> Inputs:
        places = (frames, rows, columns)
        return {
            "pixels": noise(batch, 3, 4 * rows, 4 * columns),
            "first": noise(batch, *places, 32, seed=1),
            "second": noise(batch, *places, 32, seed=2),
            "noise": noise(batch, frames, 4, 2 * rows, 2 * columns, seed=3),
            "reference": noise(batch, frames, 4, 2 * rows, 2 * columns, seed=6),
            "timestep": torch.full((batch,), 421),
            "text": noise(batch, 6, 12, seed=4),
            "cosine": noise(*places, 16, seed=5).cos(),
            "sine": noise(*places, 16, seed=5).sin(),
        }

    tokens = {0: BATCH, 2: ROWS, 3: COLUMNS}
    turning = {1: ROWS, 2: COLUMNS}
    return Case(
        Denoised(),
        inputs,
        {
            "pixels": {0: BATCH, 2: 4 * ROWS, 3: 4 * COLUMNS},
            "first": tokens,
            "second": tokens,
            "noise": {0: BATCH, 3: 2 * ROWS, 4: 2 * COLUMNS},
            "reference": {0: BATCH, 3: 2 * ROWS, 4: 2 * COLUMNS},
            "timestep": {0: BATCH},
            "text": {0: BATCH},
            "cosine": turning,
            "sine": turning,
        },
    )


QUICK = {"AutoencoderTiny's encoder, 4 channels": lambda: tiny_encoder(4)}
"""Traced in seconds; the others are for `hatch run test-slow`."""

SLOW = {
    "LPIPS": perceptual,
    "AutoencoderTiny's encoder, 16 channels": lambda: tiny_encoder(16),
    "AutoencoderTiny, decoded": tiny_decoded,
    "AutoencoderKL's encoder": kl_encoder,
    "AutoencoderKL, decoded": kl_decoded,
    "CogVideoX's encoder": cogvideox_encoder,
    "the embedded student": student,
    "CogVideoX's first blocks": denoiser,
}


@cache
def built(name: str) -> tuple[Case, Any]:
    case = (QUICK | SLOW)[name]()
    example = case.inputs(*TRACED)
    return case, trace(value_and_gradient(case.loss), example, ["loss", "gradient"], case.dynamic)


def run(model: Any, inputs: Inputs) -> list[torch.Tensor]:
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    fed = {name: tensor.numpy() for name, tensor in inputs.items()}
    return [torch.from_numpy(value) for value in session.run(None, fed)]


def agreement(one: torch.Tensor, other: torch.Tensor) -> tuple[float, float]:
    """Cosine, and the share of equal signs."""
    cosine = F.cosine_similarity(one.double().flatten(), other.double().flatten(), dim=0)
    return cosine.item(), (one.sign() == other.sign()).double().mean().item()


@pytest.mark.parametrize("size", [TRACED, *UNSEEN], ids=["traced", "one taller photo", "three larger photos"])
@pytest.mark.parametrize("name", [*QUICK, *[pytest.param(name, marks=pytest.mark.slow) for name in SLOW]])
def test_value_and_gradient_are_torchs(name: str, size: tuple[int, int, int]) -> None:
    case, model = built(name)
    inputs = case.inputs(*size)
    loss, gradient = value_and_gradient(case.loss)(**inputs)
    ran_loss, ran_gradient = run(model, inputs)
    assert ran_gradient.shape == gradient.shape
    torch.testing.assert_close(ran_loss, loss, rtol=1e-4, atol=0)
    cosine, signs = agreement(ran_gradient, gradient)
    assert cosine >= 0.9999
    assert signs >= 0.999


QUICK_ONE = "AutoencoderTiny's encoder, 4 channels"


def test_half_weights_are_rounded_and_the_graph_is_unchanged() -> None:
    case, model = built(QUICK_ONE)
    halved = half_weights(model, at_least=16)
    onnx.checker.check_model(halved)
    assert onnx.TensorProto.FLOAT16 in {tensor.data_type for tensor in halved.graph.initializer}
    assert onnx.TensorProto.FLOAT16 not in {tensor.data_type for tensor in model.graph.initializer}
    inputs = case.inputs(*UNSEEN[0])
    _, gradient = run(halved, inputs)
    assert agreement(gradient, run(model, inputs)[1])[1] >= 0.995
    rounded = tiny_encoder(4)
    for parameter in rounded.loss.parameters():
        parameter.copy_(parameter.half() if parameter.numel() >= 16 else parameter)
    cosine, signs = agreement(gradient, value_and_gradient(rounded.loss)(**inputs)[1])
    assert cosine >= 0.9999
    assert signs >= 0.999


def test_names_of_inputs_outputs_dimensions_and_weights_are_kept() -> None:
    case, model = built(QUICK_ONE)
    graph = model.graph
    assert [value.name for value in graph.input] == ["pixels", "clean"]
    assert [value.name for value in graph.output] == ["loss", "gradient"]
    sizes = [dim.dim_param or dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", 3, "8*rows", "8*columns"]
    parameters = {f"weights.{name}" for name, _ in value_and_gradient(case.loss).named_parameters()}
    assert {value.name for value in graph.initializer if value.name.startswith("weights.")} <= parameters


def test_convolutions_of_stride_1_go_back_as_convolutions() -> None:
    operators = [node.op_type for node in built(QUICK_ONE)[1].graph.node]
    layers = [layer for layer in tiny().encoder.modules() if isinstance(layer, nn.Conv2d)]
    halvings = [layer for layer in layers if layer.stride == (2, 2)]
    assert operators.count("ConvTranspose") == len(halvings) == 3
    assert operators.count("Conv") == 2 * len(layers) - len(halvings)


def step(
    pixels: torch.Tensor,
    gradient: torch.Tensor,
    velocity: torch.Tensor,
    lowering: torch.Tensor,
    sideways: torch.Tensor,
    length: torch.Tensor,
    unread: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A gradient pulled back to L*a*b*, only low frequencies, an accumulated direction, a projection."""
    with torch.enable_grad():
        coordinates = rgb_to_lab(pixels).detach().requires_grad_(True)
        (pulled,) = torch.autograd.grad(lab_to_rgb(coordinates, clip=False), coordinates, gradient)
    low = lowering.mT @ (lowering @ pulled @ sideways.mT) @ sideways
    velocity = 0.8 * velocity + low / low.square().flatten(1).mean(1).sqrt().clamp_min(1e-12).view(-1, 1, 1, 1)
    moved = lab_to_rgb(coordinates.detach() - length * velocity, clip=False)
    return torch.minimum(torch.maximum(moved, pixels - 4 / 255), pixels + 4 / 255).clamp(0, 1), velocity


def step_inputs(batch: int, height: int, width: int) -> Inputs:
    shape = (batch, 3, height, width)
    return {
        "pixels": noise(*shape),
        "gradient": noise(*shape, seed=1) - 0.5,
        "velocity": noise(*shape, seed=2) - 0.5,
        "lowering": noise(5, height, seed=3) - 0.5,
        "sideways": noise(3, width, seed=4) - 0.5,
        "length": torch.tensor(0.5),
        "unread": torch.zeros(2),
    }


@cache
def traced_step() -> Any:
    photo = {0: BATCH, 2: ROWS, 3: COLUMNS}
    kept = {"lowering": {0: Dim("low_rows"), 1: ROWS}, "sideways": {0: Dim("low_columns"), 1: COLUMNS}}
    dynamic = {"pixels": photo, "gradient": photo, "velocity": photo} | kept
    return trace(step, step_inputs(2, 12, 17), ["candidate", "velocity_after"], dynamic)


@pytest.mark.parametrize("size", [(2, 12, 17), (1, 17, 9), (3, 24, 20)], ids=str)
def test_a_step_through_lab_and_low_frequencies_is_torchs(size: tuple[int, int, int]) -> None:
    inputs = step_inputs(*size)
    candidate, velocity = step(**inputs)
    ran_candidate, ran_velocity = run(traced_step(), inputs)
    torch.testing.assert_close(ran_velocity, velocity, rtol=1e-4, atol=1e-4)  # velocities are of the order of 1
    torch.testing.assert_close(ran_candidate, candidate, rtol=1e-4, atol=1e-5)


def test_a_number_that_is_an_input_stays_one() -> None:
    inputs = step_inputs(2, 12, 17)
    longer = inputs | {"length": torch.tensor(2.0)}
    short, long = run(traced_step(), inputs)[0], run(traced_step(), longer)[0]
    assert not torch.equal(short, long)
    torch.testing.assert_close(long, step(**longer)[0], rtol=1e-4, atol=1e-5)


def test_an_unused_input_keeps_its_name() -> None:
    assert [value.name for value in traced_step().graph.input] == list(step_inputs(2, 4, 4))


def test_a_stride_whose_remainder_depends_on_the_size_agrees_with_torch() -> None:
    kernel = noise(4, 3, 4, 4) - 0.5
    function = value_and_gradient(lambda pixels: F.conv2d(pixels, kernel, stride=3, padding=1).square().sum((1, 2, 3)))
    dynamic = {"pixels": {0: BATCH, 2: Dim("rows", min=8), 3: Dim("columns", min=8)}}
    model = trace(function, {"pixels": noise(2, 3, 11, 12)}, ["loss", "gradient"], dynamic)
    for height, width in [(11, 12), (12, 13), (13, 11), (10, 16)]:
        pixels = noise(1, 3, height, width)
        for one, other in zip(run(model, {"pixels": pixels}), function(pixels), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_writes_in_place_are_recorded() -> None:
    def written(pixels: torch.Tensor) -> torch.Tensor:
        doubled = pixels * 2
        doubled[:, :, 1:] = pixels[:, :, :-1].sin()
        return doubled.square().sum((1, 2, 3))

    pixels = noise(3, 3, 6, 5)
    function = value_and_gradient(written)
    dynamic = {"pixels": {0: BATCH, 2: Dim("rows", min=3), 3: COLUMNS}}
    model = trace(function, {"pixels": noise(2, 3, 4, 7)}, ["loss", "gradient"], dynamic)
    for one, other in zip(run(model, {"pixels": pixels}), function(pixels), strict=True):
        torch.testing.assert_close(one, other)


def fixes_the_batch(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.square().sum((1, 2, 3)) * len(pixels)


def branches_on_a_value(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.square().sum((1, 2, 3)) if pixels.mean() > 0.5 else pixels.sum((1, 2, 3))


def has_no_operator(pixels: torch.Tensor) -> torch.Tensor:
    return torch.special.bessel_j0(pixels.detach()).sum((1, 2, 3)) * pixels.sum((1, 2, 3))


@pytest.mark.parametrize(
    ("loss", "problem"),
    [
        (fixes_the_batch, "fixes_the_batch does not export: .*batch = 2"),
        (branches_on_a_value, "branches_on_a_value does not export: .*"),
        (has_no_operator, "has_no_operator does not export: .*bessel_j0"),
    ],
    ids=["a fixed batch", "a branch", "an operator"],
)
def test_export_errors_are_one_line(loss: Callable[..., torch.Tensor], problem: str) -> None:
    dynamic = {"pixels": {0: BATCH, 2: ROWS, 3: COLUMNS}}
    with pytest.raises(SurrogateError, match=problem) as raised:
        trace(value_and_gradient(loss), {"pixels": noise(2, 3, 4, 5)}, ["loss", "gradient"], dynamic)
    assert len(str(raised.value).splitlines()) == 1
