"""Trace a torch function, gradients included, to one ONNX graph for any photo size.

    model = trace(value_and_gradient(loss), {"pixels": pixels, "clean": latent}, ["loss", "gradient"], dynamic)

The function may call `torch.autograd.grad`. `make_fx` records it as aten operators, with `decompositions` in place of
backward operators, and `torch.onnx` converts the record.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, cast

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import fx, nn
from torch._subclasses.functional_tensor import FunctionalTensor, FunctionalTensorMode
from torch.export import Dim, export
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from anti_i2v.errors import SurrogateError
from anti_i2v_export.decompositions import DECOMPOSITIONS

__all__ = ["OPSET", "half_weights", "trace", "value_and_gradient"]

OPSET = 20

Dynamic = Mapping[str, Mapping[int, Dim]]
"""Input -> dimension -> its symbol, such as `Dim("batch")` or `8 * Dim("height")`; other dimensions are fixed."""

Function = Callable[..., tuple[torch.Tensor, ...]]

_BOOKKEEPING = (torch.ops.aten.detach.default, torch.ops.aten.alias.default)
"""Operators that return their input: autograd's bookkeeping, which ONNX lacks."""


def trace(
    function: Function, inputs: Mapping[str, torch.Tensor], outputs: Sequence[str], dynamic: Dynamic
) -> onnx.ModelProto:
    """Record `function(**inputs)` as an ONNX graph.

    Values that change between calls must be inputs: `float(tensor)` and branches on a tensor are refused. A branch on
    sizes is recorded as the example takes it. Unused inputs keep their names.

    Args:
        function: a callable or module that returns a tuple of tensors. In-place writes and `torch.autograd.grad` are
            allowed. A module's parameters become initializers under their own names, prefixed by "weights.".
        inputs: name -> example. No dynamic dimension, also of features, may have size 1: torch would record it as
            broadcasting. The graph itself accepts batches of 1.
        outputs: a name for each returned tensor.
        dynamic: the dynamic dimensions. Dimensions with the same symbol are equal in every call.

    Raises:
        SurrogateError: the function does not export, or fixes a dynamic dimension.
    """
    with _without_export_warnings(), _one_line_errors(function), sdpa_kernel(SDPBackend.MATH):
        examples = _symbolic_inputs(inputs, dynamic)
        record = make_fx(
            _functionalise(function, list(inputs)), decomposition_table=DECOMPOSITIONS, tracing_mode="symbolic"
        )
        with torch.enable_grad():
            graph_module = record(*examples.values())
        _check_dynamic(function, examples, dynamic)
        shapes = tuple(dict(dynamic.get(name, {})) for name in inputs)
        # Size checks as guards would fix the batch; as assertions they are omitted from the graph.
        program = export(
            _clean_record(graph_module, function),
            tuple(inputs.values()),
            dynamic_shapes=shapes,
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
            verbose=False,
        )
    return cast(torch.onnx.ONNXProgram, exported).model_proto  # None only with the old exporter


def value_and_gradient(loss: Callable[..., torch.Tensor]) -> nn.Module:
    """Return the function (pixels, **others) -> (loss of each photo (B,), gradient of their sum).

    `loss` takes `pixels` and other tensors by name: clean features, weights of terms, a timestep, noise, text.
    """
    return _ValueAndGradient(loss)


class _ValueAndGradient(nn.Module):
    """A module and not a function, so that the parameters of the loss keep their names."""

    def __init__(self, loss: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, pixels: torch.Tensor, **others: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.enable_grad():
            leaf = pixels.detach().requires_grad_(True)
            loss = self.loss(leaf, **others)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), gradient


def half_weights(model: onnx.ModelProto, at_least: int = 1024) -> onnx.ModelProto:
    """Copy a model, storing float32 initializers of at least `at_least` numbers as fp16 that are cast back on loading.

    This halves the file; arithmetic stays in fp32, and ONNX Runtime folds the casts once.
    """
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    casts = []
    for tensor in halved.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < at_least:
            continue
        name, stored = tensor.name, f"{tensor.name}.half"
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [name], f"{name}.cast", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *halved.graph.node]
    del halved.graph.node[:]
    halved.graph.node.extend(nodes)
    return halved


class _Identity(nn.Module):
    def forward(self, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        return list(inputs.values())


def _symbolic_inputs(inputs: Mapping[str, torch.Tensor], dynamic: Dynamic) -> dict[str, torch.Tensor]:
    """Convert inputs to tensors without values and with symbolic sizes, by exporting the identity."""
    shapes = {name: dict(dynamic.get(name, {})) for name in inputs}
    program = export(_Identity(), (dict(inputs),), dynamic_shapes=(shapes,))
    placeholders = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"]
    return dict(zip(inputs, placeholders, strict=True))


def _functionalise(function: Function, names: Sequence[str]) -> Callable[..., tuple[torch.Tensor, ...]]:
    """Return the function of positional tensors, with in-place writes replaced by new tensors."""

    def called(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with FunctionalTensorMode():
            wrapped = [FunctionalTensor.to_functional(tensor) for tensor in tensors]
            returned = function(**dict(zip(names, wrapped, strict=True)))
        return tuple(map(_unwrap, returned))

    return called


def _unwrap(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.from_functional() if isinstance(tensor, FunctionalTensor) else tensor


def _check_dynamic(function: Function, examples: Mapping[str, torch.Tensor], dynamic: Dynamic) -> None:
    for name, dims in dynamic.items():
        for dim, symbol in dims.items():
            size = examples[name].shape[dim]
            if isinstance(size, int) or size.node.maybe_as_int() is not None:
                raise SurrogateError(
                    f"{_name(function)} does not export: it only works for {symbol.__name__} = {int(size)} "
                    f"(dimension {dim} of {name})"
                )


def _clean_record(graph_module: fx.GraphModule, function: Function) -> fx.GraphModule:
    """Remove autograd's bookkeeping, and give constants the names of the module's parameters."""
    named: dict[int, str] = {}
    if isinstance(function, nn.Module):
        named = {id(tensor): name for name, tensor in chain(function.named_parameters(), function.named_buffers())}
    graph, constants = graph_module.graph, {}
    for node in list(graph.nodes):
        if node.target in _BOOKKEEPING:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif node.op == "get_attr":
            tensor = getattr(graph_module, node.target)
            # The prefix avoids collisions with attributes of the graph module.
            node.target = f"weights.{named.get(id(tensor), node.target)}"
            constants[node.target] = tensor.detach()
    cleaned = fx.GraphModule(constants, graph)
    cleaned.graph.eliminate_dead_code()
    cleaned.recompile()
    return cleaned


@contextmanager
def _without_export_warnings() -> Iterator[None]:
    """Suppress warnings of torch.onnx about its own internals."""
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)  # it warns that torchvision, which is not needed, is missing
    try:
        with warnings.catch_warnings():
            # torch.onnx itself uses the deprecated check.
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            # Symbols that several inputs share are named once.
            warnings.filterwarnings("ignore", r"# The axis name: .* will not be used", UserWarning)
            yield
    finally:
        registry.setLevel(level)


@contextmanager
def _one_line_errors(function: Function) -> Iterator[None]:
    """Turn any error while tracing into one line: torch's export errors have no common class."""
    try:
        yield
    except SurrogateError:
        raise
    except Exception as problem:
        raise SurrogateError(f"{_name(function)} does not export: {_root_message(problem)}") from problem


def _root_message(problem: BaseException) -> str:
    """Return the first line of the root cause, which torch.onnx wraps in advice and versions."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()] or [type(problem).__name__]
    # For errors of sizes, torch suggests a fix in the last line, such as `rows = Dim('rows', min=5)`.
    fix = f" ({lines[-1]} would work)" if "Suggested fixes:" in lines and " = " in lines[-1] else ""
    return lines[0].split("! For more information")[0] + fix


def _name(function: Any) -> str:
    named = function.loss if isinstance(function, _ValueAndGradient) else function
    return getattr(named, "__name__", type(named).__name__)
