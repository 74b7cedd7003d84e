"""Resolve the name of a device to a torch device."""

from __future__ import annotations

import torch

from anti_i2v.errors import RecipeError

__all__ = ["resolve_device"]


def resolve_device(name: str) -> torch.device:
    """Resolve a name: "auto" takes CUDA where available, else the CPU; any other device must exist on this machine.

    Raises:
        RecipeError: an unknown or missing device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise RecipeError(
            f"no device {name!r} here: use auto or cpu, or install a torch build that supports it"
        ) from None
    return device
