"""Evaluation: how image-to-video models respond to a protected photo, compared with random controls.

`runner.evaluate` is the entry point. `victims` are the models, `conditions` prepares the photos with their controls,
`degradations` change a photo as platforms and adversaries do, `generation` makes the videos, `video_metrics` measures
them, `statistics` gives confidence intervals, and `validity_checks` decides whether a headline is allowed. Importing
this package does not import torch.
"""
