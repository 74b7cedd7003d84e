"""Image-to-video models as surrogates: one file a family, and the objective's way into each."""
