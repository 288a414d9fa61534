"""What is trained: nets and their data. B batch, N examples."""

import dataclasses
from pathlib import Path

import numpy as np

from trainers.quiet import import_tensorflow

READY_BATCHES = 16  # cycled where only the step is measured
_RANDOM_EXAMPLES = 8192


@dataclasses.dataclass(frozen=True)
class Workload:
    """A net for 10 classes and the data it is trained on.

    Attributes:
      model: arguments of modelzoo.create_model.
      batch: examples of a step.
      data: arguments of trainers.data.pipeline.load_data; None for random numbers.
    """

    model: dict
    batch: int = 64
    data: dict | None = None

    @property
    def is_text(self) -> bool:
        return "vocab_size" in self.model

    @property
    def is_image(self) -> bool:
        return len(self.model["input_shape"]) == 3


_MNIST, _CIFAR = (28, 28, 1), (32, 32, 3)
_TRANSFORMER = dict(name="transformer", vocab_size=1000, dropout=0.0)
_IMDB = dict(name="imdb_reviews", tokenizer="word", vocab=1000)
WORKLOADS = {
    "mlp": Workload(dict(name="mlp", input_shape=_MNIST), data=dict(name="mnist")),
    "mnist": Workload(dict(name="mnist_cnn", input_shape=_MNIST), data=dict(name="mnist")),
    "cifar": Workload(dict(name="cifar10_cnn", input_shape=_CIFAR), data=dict(name="cifar10")),
    "resnet": Workload(dict(name="benchmarks.peers.resnet:resnet18", input_shape=_CIFAR), data=dict(name="cifar10")),
    "lstm": Workload(dict(name="lstm", input_shape=(64, 32))),
    "transformer": Workload(dict(_TRANSFORMER, input_shape=(64,)), data=dict(_IMDB, max_length=64)),
    "transformer_6x512": Workload(
        dict(_TRANSFORMER, input_shape=(128,), embed_dim=512, depth=6, num_heads=8),
        batch=16,
        data=dict(_IMDB, max_length=128),
    ),
}
QUICK = ("mlp", "cifar", "lstm", "transformer")


def build_model(workload: Workload, policy: str | None = None):
    """The Keras model, on whatever backend Keras has."""
    import modelzoo

    arguments = {"num_classes": 10, **workload.model}
    arguments["input_shape"] = tuple(arguments["input_shape"])  # JSON has made it a list
    return modelzoo.create_model(arguments.pop("name"), **arguments, **({"dtype": policy} if policy else {}))


def trainable_parameters(model) -> int:
    """Of a Keras model: how many numbers are trained."""
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


@dataclasses.dataclass(frozen=True)
class Examples:
    """x [N, ...] bytes of images, token ids or float32; y [N] class numbers, int32."""

    x: np.ndarray
    y: np.ndarray

    def normalised(self) -> np.ndarray:
        """x as a net takes it: images from 0 to 1."""
        return normalise(self.x)

    def ready(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) of READY_BATCHES batches, normalised: [READY_BATCHES x B, ...]."""
        rows = np.arange(READY_BATCHES * batch) % len(self.y)
        return normalise(self.x[rows]), self.y[rows]


def normalise(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) / 255 if x.dtype == np.uint8 else x


def read_data(workload: Workload, data_dir: str | None) -> tuple[Examples, str]:
    """The training split, and its name or "random data" where it cannot be had."""
    if workload.data is None:
        return random_examples(workload), "random data"
    import_tensorflow()
    from trainers.data.pipeline import load_data

    try:
        found = load_data(workload.data, data_dir=data_dir).arrays("train")
    except (ValueError, OSError):
        return random_examples(workload), "random data"
    return Examples(found.x, found.y.astype(np.int32)), workload.data["name"]


def random_examples(workload: Workload) -> Examples:
    """Of the workload's shape and kind; the classes can be learned."""
    rng, shape = np.random.default_rng(0), (_RANDOM_EXAMPLES, *workload.model["input_shape"])
    if workload.is_text:
        x = rng.integers(1, workload.model["vocab_size"], shape, dtype=np.int32)
    elif workload.is_image:
        x = rng.integers(0, 256, shape, dtype=np.uint8)
    else:
        x = rng.normal(size=shape).astype(np.float32)
    flat = normalise(x).reshape(len(x), -1)
    scores = (
        np.stack([(flat % 10 == k).sum(1) for k in range(10)], 1)
        if workload.is_text
        else flat @ rng.normal(size=(flat.shape[1], 10))
    )
    return Examples(x, (scores - scores.mean(0)).argmax(1).astype(np.int32))


def save_examples(examples: Examples, path: Path) -> None:
    np.savez(path, x=examples.x, y=examples.y)


def load_examples(path: str | None, workload: Workload) -> Examples:
    """What `save_examples` wrote; random ones without a path."""
    if path is None:
        return random_examples(workload)
    with np.load(path) as arrays:
        return Examples(arrays["x"], arrays["y"])
