"""A torch function, gradients included, as one ONNX graph of any photo size.

    model = trace(value_and_gradient(loss), {"pixels": pixels, "clean": latent}, ["loss", "gradient"], dynamic)

The function may call `torch.autograd.grad` itself. It is recorded as aten operators by `make_fx`, with the rules of
`anti_i2v_export.decompositions` in place of backward operators, and the record is what `torch.onnx` converts.
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
from anti_i2v_export.decompositions import RULES

__all__ = ["OPSET", "half_weights", "trace", "value_and_gradient"]

OPSET = 20

Dynamic = Mapping[str, Mapping[int, Dim]]
"""Input -> dimension -> its symbol, such as `Dim("batch")` or `8 * Dim("height")`; what is not named is fixed."""

Function = Callable[..., tuple[torch.Tensor, ...]]

_BOOKKEEPING = (torch.ops.aten.detach.default, torch.ops.aten.alias.default)
"""Operators that return what they were given: autograd's marks, which ONNX knows nothing of."""


def trace(
    function: Function, inputs: Mapping[str, torch.Tensor], outputs: Sequence[str], dynamic: Dynamic
) -> onnx.ModelProto:
    """Record `function(**inputs)` as an ONNX graph.

    What changes from call to call must be an input: `float(tensor)` and a branch on a tensor are refused. A branch on
    sizes is recorded as the example takes it. Inputs keep their names also where nothing reads them.

    Args:
        function: a callable or module; returns a tuple of tensors. In-place writes and `torch.autograd.grad` are fine.
            A module's parameters become initializers under their own names, prefixed by "weights.".
        inputs: name -> example. It is so large that nothing that varies has size 1, features included: torch would
            record that as broadcasting. The graph itself takes batches of 1.
        outputs: a name for each returned tensor.
        dynamic: which dimensions vary. Dimensions that share a symbol are equal at every call.

    Raises:
        SurrogateError: the function does something that does not export, or fixes a dimension that should vary.
    """
    with _quiet(), _explained(function), sdpa_kernel(SDPBackend.MATH):
        examples = _symbolic(inputs, dynamic)
        record = make_fx(_functional(function, list(inputs)), decomposition_table=RULES, tracing_mode="symbolic")
        with torch.enable_grad():
            graph_module = record(*examples.values())
        _still_vary(function, examples, dynamic)
        shapes = tuple(dict(dynamic.get(name, {})) for name in inputs)
        # Size checks of the record become assertions, which the graph leaves out; as guards they would fix the batch.
        program = export(
            _cleaned(graph_module, function),
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
    return cast(torch.onnx.ONNXProgram, exported).model_proto  # None stands for the exporter of old alone


def value_and_gradient(loss: Callable[..., torch.Tensor]) -> nn.Module:
    """The function (pixels, **others) -> (loss of each photo (B,), gradient of their sum by the pixels).

    `loss` takes `pixels` and any other tensors by name: clean features, weights of terms, a timestep, noise, text.
    """
    return _ValueAndGradient(loss)


class _ValueAndGradient(nn.Module):
    """A module, so that the parameters of the loss keep their names."""

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
    """A copy whose float32 initializers of `at_least` numbers are stored as fp16, and cast back when it is loaded.

    Half the file at the full precision of the arithmetic: ONNX Runtime folds the casts once.
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


class _Given(nn.Module):
    def forward(self, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        return list(inputs.values())


def _symbolic(inputs: Mapping[str, torch.Tensor], dynamic: Dynamic) -> dict[str, torch.Tensor]:
    """The inputs without values, their sizes in symbols: what exporting the identity makes of them."""
    shapes = {name: dict(dynamic.get(name, {})) for name in inputs}
    program = export(_Given(), (dict(inputs),), dynamic_shapes=(shapes,))
    given = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"]
    return dict(zip(inputs, given, strict=True))


def _functional(function: Function, names: Sequence[str]) -> Callable[..., tuple[torch.Tensor, ...]]:
    """The function of positional tensors, its in-place writes turned into new tensors."""

    def called(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with FunctionalTensorMode():
            wrapped = [FunctionalTensor.to_functional(tensor) for tensor in tensors]
            returned = function(**dict(zip(names, wrapped, strict=True)))
        return tuple(map(_unwrapped, returned))

    return called


def _unwrapped(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.from_functional() if isinstance(tensor, FunctionalTensor) else tensor


def _still_vary(function: Function, examples: Mapping[str, torch.Tensor], dynamic: Dynamic) -> None:
    for name, dims in dynamic.items():
        for dim, symbol in dims.items():
            size = examples[name].shape[dim]
            if isinstance(size, int) or size.node.maybe_as_int() is not None:
                raise SurrogateError(
                    f"{_name(function)} does not export: it works for {symbol.__name__} = {int(size)} alone "
                    f"(dimension {dim} of {name})"
                )


def _cleaned(graph_module: fx.GraphModule, function: Function) -> fx.GraphModule:
    """The record without autograd's bookkeeping, its constants under the names of the module's parameters."""
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
            # The prefix keeps a parameter's name from meeting an attribute of the graph module.
            node.target = f"weights.{named.get(id(tensor), node.target)}"
            constants[node.target] = tensor.detach()
    cleaned = fx.GraphModule(constants, graph)
    cleaned.graph.eliminate_dead_code()
    cleaned.recompile()
    return cleaned


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch and onnxscript say about themselves."""
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)  # it tells of torchvision, which nothing here needs
    try:
        with warnings.catch_warnings():
            # torch.onnx copies its own tree specifications in a way that torch has deprecated.
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            # It names each symbol once, and warns that it does so.
            warnings.filterwarnings("ignore", r"# The axis name: .* will not be used", UserWarning)
            yield
    finally:
        registry.setLevel(level)


@contextmanager
def _explained(function: Function) -> Iterator[None]:
    """Any error while tracing, as one line: torch has no common class for what does not export."""
    try:
        yield
    except SurrogateError:
        raise
    except Exception as problem:
        raise SurrogateError(f"{_name(function)} does not export: {_root(problem)}") from problem


def _root(problem: BaseException) -> str:
    """The first line of the error that began it all: torch.onnx wraps it in advice and versions."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()] or [type(problem).__name__]
    # Where sizes are at fault torch says in the last line what would do, such as `rows = Dim('rows', min=5)`.
    fix = f" ({lines[-1]} would do)" if "Suggested fixes:" in lines and " = " in lines[-1] else ""
    return lines[0].split("! For more information")[0] + fix


def _name(function: Any) -> str:
    named = function.loss if isinstance(function, _ValueAndGradient) else function
    return getattr(named, "__name__", type(named).__name__)
