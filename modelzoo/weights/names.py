"""What a published file calls our variables, and how it lays them out. One table of rules serves loading and saving.

O, I output and input features, H, W height and width, N heads, K features of a head.
"""

import dataclasses
import math
import re
from collections.abc import Callable

import keras
import numpy as np

_TENSORS = {
    "kernel": "weight", "gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Names:
    """Rules from the names of our variables to those of a published file.

    A variable is first named as PyTorch would name it: the kernel of the layer `layer1_0_conv1` is `layer1_0_conv1.weight`.

    Attributes:
      rules: (regular expression, replacement), applied one after the other. Variables that get the same name are one
        tensor in the file, joined along its first axis: query, key and value are often stored so.
      stored: {regular expression: shape -> shape} of tensors that a file stores in another shape than PyTorch's layers.
      ignored: regular expression of tensors in a file that are no weights here.
    """

    rules: tuple[tuple[str, str], ...]
    stored: dict[str, Callable[[tuple], tuple]] = dataclasses.field(default_factory=dict)
    ignored: str = r"num_batches_tracked$"

    def of(self, name: str) -> str:
        for pattern, replacement in self.rules:
            name = re.sub(pattern, replacement, name)
        return name


@dataclasses.dataclass(frozen=True)
class Part:
    """A variable, and the layout that PyTorch gives it: `matrix` is its shape before its axes are moved."""

    layer: keras.layers.Layer
    variable: keras.Variable
    matrix: tuple[int, ...]
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.matrix[axis] for axis in self.axes)

    def value(self) -> np.ndarray:
        return keras.ops.convert_to_numpy(self.variable).reshape(self.matrix).transpose(self.axes)

    def assign(self, array: np.ndarray) -> None:
        ours = array.reshape(self.shape).transpose(np.argsort(self.axes))
        self.variable.assign(ours.reshape(self.variable.shape))


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of a published file: our variables, joined along the first axis, in the shape in which it is stored."""

    parts: list[Part]
    stored: Callable[[tuple], tuple] = tuple

    @property
    def joined_shape(self) -> tuple[int, ...]:
        first = self.parts[0].shape
        return (sum(part.shape[0] for part in self.parts), *first[1:]) if first else ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored(self.joined_shape)

    def value(self) -> np.ndarray:
        joined = np.concatenate([part.value() for part in self.parts])
        return np.ascontiguousarray(joined.reshape(self.shape))

    def assign(self, array: np.ndarray) -> None:
        ends = np.cumsum([part.shape[0] for part in self.parts])[:-1]
        for part, piece in zip(self.parts, np.split(array.reshape(self.joined_shape), ends), strict=True):
            part.assign(piece)


def published_tensors(model: keras.Model, names: Names) -> dict[str, Tensor]:
    """{the name in a published file: what it holds} of every variable of a functional model."""
    parts: dict[str, list[Part]] = {}
    for layer in model.layers:
        for variable in layer.weights:
            inner = variable.path.rpartition(f"{layer.name}/")[2].split("/")
            if "seed_generator" in inner[0]:
                continue
            *within, kind = inner
            name = names.of(".".join([layer.name, *within, _TENSORS.get(kind, kind)]))
            parts.setdefault(name, []).append(Part(layer, variable, *_layout(layer, within, kind, tuple(variable.shape))))
    stored = {name: next((s for pattern, s in names.stored.items() if re.search(pattern, name)), _same) for name in parts}
    return {name: Tensor(found, stored[name]) for name, found in parts.items()}


def _same(shape: tuple) -> tuple:
    return tuple(int(size) for size in shape)


def _layout(layer, within: list[str], kind: str, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape in which a variable's axes are moved, and their order."""
    attention = isinstance(layer, keras.layers.MultiHeadAttention)
    if attention and kind == "bias":  # [N, K] or [O]
        return (math.prod(shape),), (0,)
    if attention and kind == "kernel":  # [I, N, K], or [N, K, O] of the output
        split = 2 if within == ["attention_output"] else 1
        return (math.prod(shape[:split]), math.prod(shape[split:])), (1, 0)
    if kind == "kernel" and isinstance(layer, keras.layers.DepthwiseConv2D):  # [H, W, I, 1]
        return shape, (2, 3, 0, 1)
    if kind == "kernel" and len(shape) == 4:  # [H, W, I, O]
        return shape, (3, 2, 0, 1)
    if kind == "kernel" and len(shape) == 2:  # [I, O]
        return shape, (1, 0)
    return shape, tuple(range(len(shape)))
