"""The matrix products and convolutions of one training step: what cannot be saved. B batch."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator

import keras
from keras import layers


@dataclasses.dataclass(frozen=True)
class Product:
    """`kind` is "matmul" with shape (batches, rows, inner, columns); or "conv", its "conv_dx" or "conv_dw" with shape
    (images, height, width, channels, kernel_size, filters, strides), all for input that was padded before.
    """

    kind: str
    shape: tuple[int, ...]

    @property
    def multiply_adds(self) -> int:
        if self.kind == "matmul":
            return math.prod(self.shape)
        images, height, width, channels, size, filters, strides = self.shape
        places = ((height - size) // strides + 1) * ((width - size) // strides + 1)
        return images * places * size * size * channels * filters


def products(model: keras.Model, batch: int) -> dict[Product, int]:
    """Every product of a step and how often it is made: forward, by the weights and, but for a net's first layer, by the
    input.
    """
    counts, inputs = Counter(), {id(tensor) for tensor in model.inputs}
    for layer in model.layers:
        if not layer.weights:
            if isinstance(layer, layers.Reshape | layers.Flatten) and id(layer.input) in inputs:
                inputs.add(id(layer.output))
            continue
        given = keras.tree.flatten(layer.input)[0]
        for product, times in _of(layer, given.shape[1:], batch, is_first=id(given) in inputs):
            counts[product] += times
    return dict(counts)


def _of(layer: layers.Layer, shape: tuple, batch: int, *, is_first: bool) -> Iterator[tuple[Product, int]]:
    if isinstance(layer, layers.Dense):
        yield from _dense(1, batch * math.prod(shape[:-1]), *layer.kernel.shape, is_first=is_first)
    elif isinstance(layer, layers.Conv2D):
        height, width, channels = shape
        size, strides = layer.kernel_size[0], layer.strides[0]
        padding = size - 1 if layer.padding == "same" else 0
        given = (batch, height + padding, width + padding, channels, size, layer.filters, strides)
        for kind in ("conv", "conv_dw") if is_first else ("conv", "conv_dw", "conv_dx"):
            yield Product(kind, given), 1
    elif isinstance(layer, layers.LSTM):
        steps, features = shape
        yield from _dense(1, batch * steps, features, 4 * layer.units, is_first=is_first)
        state, gates = layer.units, 4 * layer.units  # one step after the other, but for the weights' gradient
        yield Product("matmul", (1, batch, state, gates)), steps
        yield Product("matmul", (1, batch, gates, state)), steps
        yield Product("matmul", (1, state, batch * steps, gates)), 1
    elif isinstance(layer, layers.MultiHeadAttention):
        steps, width = shape
        inner, heads = layer.num_heads * layer.key_dim, batch * layer.num_heads
        for columns in (3 * inner, width):  # query, key and value in one product, then the output
            yield from _dense(1, batch * steps, width if columns != width else inner, columns)
        yield Product("matmul", (heads, steps, layer.key_dim, steps)), 2  # scores; gradient of the shares
        yield Product("matmul", (heads, steps, steps, layer.key_dim)), 4  # sums; gradients of query, key and value


def _dense(batches: int, rows: int, inner: int, columns: int, *, is_first: bool = False) -> Iterator[tuple[Product, int]]:
    yield Product("matmul", (batches, rows, inner, columns)), 1
    yield Product("matmul", (batches, inner, rows, columns)), 1
    if not is_first:
        yield Product("matmul", (batches, rows, columns, inner)), 1
