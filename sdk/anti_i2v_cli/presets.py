"""`anti-i2v presets`: list the platform presets."""

from __future__ import annotations

import typer

__all__ = ["presets"]


def presets() -> None:
    """List the presets: models of platforms for `protect --preset`."""
    from anti_i2v.images.platforms import PRESETS

    for name, preset in PRESETS.items():
        size = f"{preset.long_edge} px" if preset.long_edge else "any size"
        quality = f"JPEG {preset.quality}" if preset.reencodes else "mostly as it is"
        typer.echo(f"{name:<12}{size:<12}{quality:<18}{preset.label} (confidence: {preset.confidence})")
