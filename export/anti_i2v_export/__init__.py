"""Export of surrogates to ONNX, gradients included, for the engine that needs no torch.

    from anti_i2v_export import export_surrogate

    export_surrogate("taesd", "taesd-onnx", recipes=["balanced", "strong"])

Needs the extra `anti-i2v-sdk[export]`. `graphs` defines the graphs, `verify` compares them with torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anti_i2v_export.exporter import check_export, export_surrogate

__all__ = ["check_export", "export_surrogate"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from anti_i2v_export import exporter

        return getattr(exporter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
