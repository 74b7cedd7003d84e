"""Published protections reimplemented in this project's loop, as baselines for benchmarks.

Importing this package registers the objectives that only baselines use: "norm" and "distillation".
"""

from anti_i2v.evaluation.baselines.latent_norm import LatentNorm
from anti_i2v.evaluation.baselines.score_distillation import ScoreDistillation
from anti_i2v.objectives.binding import BUILDERS

BUILDERS["norm"] = lambda given: LatentNorm()
BUILDERS["distillation"] = lambda given: ScoreDistillation()
