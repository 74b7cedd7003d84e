"""Metrics: how visible a perturbation is, how far latents and faces moved, and random controls."""
