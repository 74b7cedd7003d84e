"""Speed and memory: a 12-megapixel photo through `draft`, deadlines, and seconds a step.

    [ANTI_I2V_HOME=FOLDER] python tests/benchmarks/speed.py

Steps are timed in turn within one run and printed as ratios to fp32 RGB on the CPU. The 12-megapixel part runs in a
process of its own, so that its peak memory is its own. On a machine with CUDA the same table is printed for it.
"""

from __future__ import annotations

import argparse
import io
import itertools
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from PIL import Image

DATA = Path(__file__).parent.parent / "data"


def twelve_megapixels() -> bytes:
    """A committed photo enlarged to 4000 x 3000, as a JPEG of quality 95."""
    with Image.open(DATA / "astronaut.jpg") as file:
        large = file.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def draft_of_twelve_megapixels() -> None:
    """Run in a child: decode, protect, encode, three times; the first has the imports."""
    import resource

    from anti_i2v import Protector

    data = twelve_megapixels()
    protector = Protector("draft")
    seconds = []
    for _ in range(4):
        laps = (protection := protector.protect(data, effects=False)).receipt.seconds
        begun = time.perf_counter()
        protection.encode("JPEG")
        # Reading, protecting and encoding; the receipt's PSNR, SSIM and dE2000 come after the photo and are told apart.
        seconds.append(laps["read"] + laps["protect"] + time.perf_counter() - begun)
        receipt = laps["compare"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"12 MP draft, decode to encode: first {seconds[0]:.2f} s (with imports), then {median(seconds[1:]):.2f} s; "
        f"measuring its imperceptibility {receipt:.2f} s more; peak {peak:.0f} MB"
    )


def deadlines() -> None:
    """How far past its deadline a balanced protection comes back, everything included."""
    from anti_i2v import Protector

    protector = Protector("balanced")
    protector.protect(DATA / "chelsea.jpg", deadline=2)  # loads the models
    for limit in (3, 8, 20):
        begun = time.perf_counter()
        protection = protector.protect(DATA / "astronaut.jpg", deadline=limit)
        late = time.perf_counter() - begun - limit
        print(f"deadline {limit:3} s: {late:+6.2f} s late, {protection.receipt.steps} steps")


def steps(device: str, size: int) -> None:
    """Print the seconds of a step (value, gradient and move) as medians of interleaved runs."""
    import torch

    from anti_i2v.engines.torch_engine import TorchPhotoOptimiser
    from anti_i2v.optim.transforms import SampledTransform
    from anti_i2v.recipes import Recipe
    from anti_i2v.surrogates.catalogue import available_encoders, load_surrogate

    name = (available_encoders() or ["embedded"])[0]
    clean = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    start = (clean + 4 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1)).to(device)).clamp(
        0, 1
    )
    radius = torch.full((1, 1, 1, 1), 8 / 255, device=device)
    spaces = {"rgb": ["rgb"], "dual": ["lab", "dct"]}
    photos = {}
    for precision, compiled, (label, chosen) in itertools.product(("fp32", "bf16"), (False, True), spaces.items()):
        surrogate = load_surrogate(name, device=device)
        if compiled:
            surrogate.features = torch.compile(surrogate.features)  # type: ignore[method-assign]  # for this comparison
        recipe = Recipe(name="steps", summary="Latent shift by sign-gradient.", spaces=tuple(chosen))
        photo = TorchPhotoOptimiser([surrogate], clean, start, radius, recipe)
        photo.bind(0)
        photos[f"{label}, {precision}, {'compiled' if compiled else 'eager'}"] = (photo, precision)
    seconds: dict[str, list[float]] = {label: [] for label in photos}
    for _ in range(4):
        for label, (photo, precision) in photos.items():
            begun, candidate = time.perf_counter(), photo.start
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                for index in range(2):
                    space = index if label.startswith("dual") else 0
                    candidate, _ = photo.step(candidate, [0], SampledTransform(), space, 0, 1 / 255)
            photo.synchronize()
            seconds[label].append((time.perf_counter() - begun) / 2)
    reference = median(seconds["rgb, fp32, eager"][1:])
    print(f"seconds a step on {device}, {name}, {size} px, against rgb fp32 eager ({reference:.3f} s)")
    for label, taken in seconds.items():
        print(f"  {label:24}{median(taken[1:]):8.3f} s {reference / median(taken[1:]):6.2f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args().child:
        draft_of_twelve_megapixels()
        return
    subprocess.run([sys.executable, __file__, "--child"], check=True)  # noqa: S603  # this very file
    deadlines()
    import torch

    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        steps(device, 256)


if __name__ == "__main__":
    main()
