"""Surrogates: differentiable parts of image-to-video models that a photo is protected against."""
