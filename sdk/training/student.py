"""Train the student: a small encoder that imitates the latents and gradients of several real ones.

    python sdk/training/student.py PHOTOS_FOLDER SURROGATES_FOLDER -o sdk/anti_i2v/data/student.safetensors \\
        --tiles sdk/anti_i2v/data/tiles.safetensors

In each step the student gets a clean crop and a perturbed one (random signs or the trained tiles, with an adversarial
step against the teachers on top) and has three targets: the teachers' latents, their latent differences, and the
direction of their input gradients (a vector-Jacobian product with the same random vector). `taesd3` is held out. The
last lines print the validation: the cosine of input gradients, and the error of the relative shift, on crops of
held-out photos, with the weights rounded to fp16 as they ship. Deterministic by seed on one machine.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tiles import batches, crops, photos_of, teacher, with_tiles
from torch.nn import functional as F

from anti_i2v.metrics.latents import relative_shift
from anti_i2v.surrogates.student import HEADS, Student

BUDGET = 8 / 255


def latent_of(models: dict[str, torch.nn.Module], spreads: dict[str, float], pixels: torch.Tensor) -> torch.Tensor:
    """Concatenate the teachers' latents, each scaled to unit deviation and equal weight for any channel count."""
    scaled = pixels.mul(2).sub(1).contiguous(memory_format=torch.channels_last)
    parts = [model.encoder(scaled) / spreads[name] * (8 / HEADS[name]) ** 0.5 for name, model in models.items()]
    return torch.cat(parts, 1)


def perturbed(
    clean: torch.Tensor, tiles: torch.Tensor, toward: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Add random signs to half the crops and tiles to the others, then a sign step against the teachers."""
    signs = torch.randint(0, 2, clean.shape, generator=generator).float() * 2 - 1
    strength = torch.rand(len(clean), 1, 1, 1, generator=generator)
    noisy = clean + BUDGET * strength * signs
    laid = with_tiles(clean, tiles, generator)
    pick = torch.rand(len(clean), 1, 1, 1, generator=generator) < 0.5
    started = torch.where(pick, noisy, laid)
    share = torch.rand(len(clean), 1, 1, 1, generator=generator)
    return torch.maximum(torch.minimum(started + BUDGET * share * toward, clean + BUDGET), clean - BUDGET).clamp(0, 1)


def vector_jacobian(encode, pixels: torch.Tensor, vector: torch.Tensor, graph: bool) -> torch.Tensor:
    leaf = pixels.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad((encode(leaf) * vector).sum(), leaf, create_graph=graph)
    return gradient


def validate(
    student: Student, models, spreads, tiles, held_out: torch.Tensor, generator: torch.Generator
) -> dict[str, float]:
    """Measure, on held-out crops, the gradient cosine and the accuracy of predicted relative shifts."""
    cosines, errors, truths, predictions = [], [], [], []
    for rows in torch.arange(len(held_out)).split(4):
        clean = held_out[rows].float().div(255)
        vector = torch.randn(
            len(clean), sum(HEADS.values()), clean.shape[-2] // 8, clean.shape[-1] // 8, generator=generator
        )
        real = vector_jacobian(lambda x: latent_of(models, spreads, x), clean, vector, graph=False)
        ours = vector_jacobian(lambda x: student.features(x)["latent"], clean, vector, graph=False)
        cosines += F.cosine_similarity(real.flatten(1), ours.flatten(1)).tolist()
        moved = perturbed(clean, tiles, real.sign(), generator)
        with torch.no_grad():
            truth = relative_shift(latent_of(models, spreads, moved), latent_of(models, spreads, clean))
            guess = relative_shift(student.features(moved)["latent"], student.features(clean)["latent"])
        truths += truth.tolist()
        predictions += guess.tolist()
        errors += ((guess - truth).abs() / truth).tolist()
    correlation = torch.corrcoef(torch.tensor([truths, predictions]))[0, 1]
    return {
        "gradient_cosine": round(sum(cosines) / len(cosines), 4),
        "shift_relative_error": round(sum(errors) / len(errors), 4),
        "shift_correlation": round(float(correlation), 4),
    }


def save(student: Student, path: Path) -> None:
    save_file({name: value.half().contiguous() for name, value in student.state_dict().items()}, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("surrogates", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--tiles", type=Path, required=True, help="tiles.safetensors, trained before")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--crops", type=int, default=1600)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--gradient-weight", type=float, default=1.0, help="0 leaves gradient matching out")
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()

    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    settings.output.parent.mkdir(parents=True, exist_ok=True)
    photos = photos_of(settings.photos)
    cut = crops([photo for index, photo in enumerate(photos) if index % 10], settings.crops, settings.seed)
    held_out = crops(photos[::10], 24, settings.seed + 1)
    models = {name: teacher(settings.surrogates, name) for name in HEADS}
    tiles = load_file(settings.tiles)["tiles"].float() / 127
    with torch.no_grad():
        sample = cut[:32].float().div(255).mul(2).sub(1)
        spreads = {name: float(model.encoder(sample).std()) for name, model in models.items()}
    student = Student()
    optimiser = torch.optim.Adam(student.parameters(), settings.rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.rate, total_steps=settings.steps + 1, pct_start=0.1
    )

    log_path, begun = settings.output.with_suffix(".log.jsonl"), time.monotonic()
    sums = torch.zeros(3)
    for step, rows in enumerate(batches(len(cut), settings.batch, generator), start=1):
        if step > settings.steps or time.monotonic() - begun > 60 * settings.minutes:
            break
        clean = cut[rows].float().div(255)
        leaf = clean.clone().requires_grad_(True)
        wanted = latent_of(models, spreads, leaf)
        vector = torch.randn(wanted.shape, generator=generator)
        (real,) = torch.autograd.grad((wanted * vector).sum(), leaf)
        wanted = wanted.detach()
        moved = perturbed(clean, tiles, real.sign(), generator)
        with torch.no_grad():
            difference = latent_of(models, spreads, moved) - wanted
        if settings.gradient_weight:
            leaf = clean.clone().requires_grad_(True)
            predicted = student.features(leaf)["latent"]
            (ours,) = torch.autograd.grad((predicted * vector).sum(), leaf, create_graph=True)
            gradient_loss = 1 - F.cosine_similarity(real.flatten(1), ours.flatten(1)).mean()
        else:
            predicted, gradient_loss = student.features(clean)["latent"], torch.zeros(())
        moved_predicted = student.features(moved)["latent"]
        latent_loss = F.smooth_l1_loss(predicted, wanted)
        difference_loss = (moved_predicted - predicted - difference).square().mean() / difference.square().mean()
        loss = latent_loss + difference_loss + settings.gradient_weight * gradient_loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        sums += torch.stack([latent_loss, difference_loss, gradient_loss]).detach()
        if step % settings.every == 0:
            names = ("latent", "difference", "gradient")
            losses = {name: round(float(total) / settings.every, 4) for name, total in zip(names, sums, strict=True)}
            line = {"step": step, "minutes": round((time.monotonic() - begun) / 60, 1), **losses}
            sums.zero_()
            with log_path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            save(student, settings.output)
    save(student, settings.output)
    student.load_state_dict({name: value.float() for name, value in load_file(settings.output).items()})
    student.eval().requires_grad_(False)
    measured = validate(student, models, spreads, tiles, held_out, torch.Generator().manual_seed(settings.seed + 2))
    settings.output.with_suffix(".json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
