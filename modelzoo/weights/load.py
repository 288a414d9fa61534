"""Load published weights into a model, and save a model's under the published names."""

import inspect
import logging
import re
from pathlib import Path

import keras
import numpy as np

from modelzoo.layers import LearnedPositions
from modelzoo.weights.names import Names, Tensor, published_tensors
from modelzoo.weights.published import File

log = logging.getLogger("modelzoo")


def arguments_of(file: File, signature: inspect.Signature, arguments: dict) -> dict:
    """The builder's arguments, with those that follow from the weights and were not given."""
    given = dict(arguments)
    accepted = signature.parameters
    if "num_classes" in accepted and file.num_classes is not None:
        given.setdefault("num_classes", file.num_classes)
    if "mean_std" in accepted and file.mean_std and "mean_std" not in given:
        default = accepted["input_shape"].default
        shape = given.get("input_shape", (None, None, 3) if default is inspect.Parameter.empty else default)
        given["mean_std"] = _for_channels(file.mean_std, shape[-1])
    return given


def _for_channels(mean_std: tuple, channels: int) -> tuple:
    """Of images with other channels than the weights': the average of the weights' in each."""
    if len(mean_std[0]) == channels:
        return mean_std
    return tuple((float(np.mean(values)),) * channels for values in mean_std)


def load_weights(model: keras.Model, path: str | Path, names: dict[str, Names]) -> None:
    """Assign the tensors of a .safetensors file to a model's variables.

    A head of another number of classes keeps its random values, position embeddings of another grid are interpolated, and the
    first convolution is adapted to the model's channels; each is logged in one line.

    Args:
      model: a functional model of a registered builder.
      path: of the file.
      names: the builder's, by library; the one that knows most of the file's tensors is taken.

    Raises:
      ValueError: the file does not fit; its first three differing tensors are named.
    """
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        held = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        style, wanted = max(
            ((style, published_tensors(model, style)) for style in names.values()), key=lambda s: len(held.keys() & s[1].keys())
        )
        head = {style.of(f"logits.{kind}") for kind in ("weight", "bias")}
        _refuse_misfits(model, path, wanted, held, head, style)
        for name, tensor in wanted.items():
            if name in held and held[name] == tensor.shape:
                tensor.assign(file.get_tensor(name))
            elif name in head:
                continue
            else:
                tensor.assign(_adapted(file.get_tensor(name), tensor, name))
    _say_head(wanted, held, head)


def _refuse_misfits(model, path, wanted: dict[str, Tensor], held: dict[str, tuple], head: set[str], style: Names) -> None:
    """Tensors that are missing, have another shape that cannot be adapted, or have no use here."""
    misfits = []
    for name, tensor in wanted.items():
        if name in head or held.get(name) == tensor.shape:
            continue
        if name not in held:
            misfits.append(f"{name} is {list(tensor.shape)} here and missing in the file")
        elif not _can_adapt(held[name], tensor, model):
            misfits.append(f"{name} is {list(tensor.shape)} here and {list(held[name])} in the file")
    for name in held.keys() - wanted.keys() - head:
        if not re.search(style.ignored, name):
            misfits.append(f"{name} is {list(held[name])} in the file and has no use here")
    if misfits:
        more = f"; and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise ValueError(f"the weights {path} do not fit the model {model.name!r}: {'; '.join(misfits[:3])}{more}")


def _can_adapt(held: tuple[int, ...], tensor: Tensor, model: keras.Model) -> bool:
    layer, shape = tensor.parts[0].layer, tensor.shape
    if len(held) != len(shape):
        return False
    if isinstance(layer, LearnedPositions):
        return layer.grid is not None and held[-1] == shape[-1]
    first = next((layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)), None)
    return layer is first and (held[0], *held[2:]) == (shape[0], *shape[2:])


def _adapted(array: np.ndarray, tensor: Tensor, name: str) -> np.ndarray:
    layer = tensor.parts[0].layer
    log.warning("%s: adapted from %s in the file to %s", name, list(array.shape), list(tensor.shape))
    if isinstance(layer, LearnedPositions):
        return interpolated(array.reshape(-1, array.shape[-1]), layer.grid, tensor.joined_shape[0])
    return with_channels(array, tensor.shape[1])


def interpolated(positions: np.ndarray, grid: tuple[int, int], count: int) -> np.ndarray:
    """Position embeddings [T, D] of a square grid, for another grid: [count, D]. What stands before the grid (a class token) is
    kept. Bicubic, as timm does it.
    """
    before = count - grid[0] * grid[1]
    side = round((len(positions) - before) ** 0.5)
    if before + side**2 != len(positions):
        raise ValueError(f"{len(positions)} position embeddings are no square grid with {before} tokens before it")
    square = positions[before:].reshape(1, side, side, -1).astype(np.float32)
    resized = keras.ops.image.resize(square, grid, interpolation="bicubic", antialias=True, data_format="channels_last")
    resized = keras.ops.convert_to_numpy(resized).reshape(grid[0] * grid[1], -1)
    return np.concatenate([positions[:before], resized])


def with_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """A convolution's weight [O, I, H, W] for images with other channels: the sum over I for one channel, otherwise repeated
    and scaled so that images whose channels are alike give the same.
    """
    old = kernel.shape[1]
    if channels == 1:
        return kernel.sum(axis=1, keepdims=True)
    repeated = np.tile(kernel, (1, -(-channels // old), 1, 1))[:, :channels]
    return repeated * (old / channels)


def _say_head(wanted: dict[str, Tensor], held: dict[str, tuple], head: set[str]) -> None:
    for name in sorted(head & (wanted.keys() | held.keys())):
        ours, theirs = (list(shape) if shape else "missing" for shape in (_shape(wanted.get(name)), held.get(name)))
        if ours != theirs and name.endswith("weight"):
            log.warning("%s: %s in the file, %s here: the model has a new head", name, theirs, ours)


def _shape(tensor: Tensor | None) -> tuple | None:
    return tensor.shape if tensor else None


def save_weights(model: keras.Model, path: str | Path, names: Names) -> None:
    """Write a model's variables to a .safetensors file under published names, so that the original library loads them.

    Args:
      model: a functional model of a registered builder.
      path: of the file.
      names: one of the builder's: `find_entry("resnet50").names["timm"]`.
    """
    from safetensors.numpy import save_file

    save_file({name: tensor.value() for name, tensor in published_tensors(model, names).items()}, path)
