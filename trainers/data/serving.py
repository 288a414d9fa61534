"""Data: what every source becomes, served as batches. B batch, N examples of a split."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainers.data.augment import make_augment
from trainers.data.batches import batches_of_arrays, batches_of_indexed, batches_of_stream, indices_of_batches, padded
from trainers.data.encoders import Encoder
from trainers.data.order import batch_indices, permuted_in_windows, steps_per_epoch
from trainers.data.spec import Batches, Indexed, Spec, Split, Stream, mapped


class Data:
    """Splits whose x and y are encoded, and batches of them.

    Attributes:
      spec: what a model and a task need to know.
      encoder: from what people have (files, text, cells of a table) to x; Fields where x is a dict.
      target_encoder: the same for y; None where y is left as it is.
    """

    def __init__(
        self,
        spec: Spec,
        splits: dict[str, Split | Indexed | Stream | Batches],
        encoder: Encoder,
        augment: dict | None = None,
        target_encoder: Encoder | None = None,
    ) -> None:
        self.spec, self.encoder, self.target_encoder, self._splits = spec, encoder, target_encoder, splits
        self._augment = _augment_of(augment, spec) if augment else None
        self._tensors: dict[str, dict] = {}  # of splits in memory, copied once

    def steps(self, split: str, batch_size: int) -> int:
        """Batches that hold the split once."""
        found = self._split(split)
        own = isinstance(found, Batches) and found.batch_size == batch_size
        return found.steps if own else steps_per_epoch(len(found), batch_size)

    def own_batch_size(self, split: str) -> int | None:
        """The size of the batches that somebody else made; None where we make them."""
        found = self._split(split)
        return found.batch_size if isinstance(found, Batches) else None

    def arrays(self, split: str) -> Split | None:
        """The split's x, y and w as arrays, or None where they are not all in memory."""
        found = self._split(split)
        return found if isinstance(found, Split) else None

    def targets(self, split: str):
        """y of all examples, in order, as the task takes it."""
        found = self._split(split)
        rows = found.rows if isinstance(found, Indexed) else found
        if isinstance(rows, Split) and not getattr(found, "read_y", None):
            y = rows.y
        else:
            batches = self.batches(split, self.own_batch_size(split) or 256, training=False).as_numpy_iterator()
            y = tf.nest.map_structure(lambda *parts: np.concatenate(parts)[: len(found)], *(batch["y"] for batch in batches))
        return tf.nest.map_structure(np.asarray, self._decoded_targets(y))

    def encode(self, raw):
        """x for a model, from what `encoder.read` gives."""
        return self.as_float(self.encoder.encode(raw))

    def batches(
        self,
        split: str,
        batch_size: int,
        *,
        training: bool,
        seed: int = 0,
        start_step: int = 0,
        share: tuple[int, int] = (0, 1),
        block: int | None = None,
    ) -> tf.data.Dataset:
        """Batches {"x", "y", "w"} of one static shape; the last of an epoch is padded with examples of weight 0. w is [B], or
        [B, T] of steps, or a dict of these. Bytes are still bytes: `decode` is left to the compiled step.

        Args:
          training: shuffled, augmented and without end; else once, in order.
          start_step: the first batch, counted from the first epoch's first; any is reached at once, of a stream by passing over
            elements that are not read.
          share: (i, n) for the i-th of n equal parts of each batch, as one of n hosts needs it.
          block: in training, so many batches at a time: [block, B, ...].
        """
        found = self._split(split)
        index, hosts = share
        mine = slice(index * batch_size // hosts, (index + 1) * batch_size // hosts)
        options = dict(training=training, start_step=start_step, mine=mine)
        if isinstance(found, Batches):
            dataset = padded(found, batch_size, **options)
        else:
            options |= dict(seed=seed, augment=self._augment if training else None)
            if isinstance(found, Split):
                dataset = batches_of_arrays(self.tensors(split), len(found), batch_size, block=block, **options)
            elif isinstance(found, Indexed):
                dataset = batches_of_indexed(self.tensors(split), found, batch_size, **options)
            else:
                dataset = batches_of_stream(found, batch_size, **options)
        if block and not isinstance(found, Split):
            dataset = dataset.batch(block, drop_remainder=True)
        return _ordered(dataset)

    def index_batches(self, split: str, batch_size: int, *, seed: int, start_step: int, block: int) -> tf.data.Dataset:
        """Where to find training batches in `tensors`: {"indices", "w"}, each [block, B]."""
        return _ordered(indices_of_batches(len(self._split(split)), batch_size, seed=seed, start_step=start_step, block=block))

    def can_be_resident(self, split: str) -> bool:
        """Whether training batches are rows of `tensors`: the split is in memory and not augmented."""
        return isinstance(self._split(split), Split) and self._augment is None

    def input_advice(self, split: str) -> str:
        """What to change where training waits for its batches."""
        found = self._split(split)
        if isinstance(found, Batches):
            return "give the dataset .cache(), num_parallel_calls=tf.data.AUTOTUNE in its maps, or arrays in its place"
        if isinstance(found, Stream):
            return "data.in_memory=True keeps the set in memory, if it fits"
        if isinstance(found, Indexed):
            return "data.in_memory=True keeps the set in memory, if it fits; smaller files are decoded faster"
        if self._augment:
            return "take less of data.augment, or a machine with more cores"
        return "use --plan=xla_resident, or a larger batch_size"

    def examples_of_batch(self, split: str, batch_size: int, *, seed: int, step: int) -> list[int] | None:
        """Places in the split of the examples of a training batch; None where somebody else made the batches."""
        found = self._split(split)
        if isinstance(found, Batches):
            return None
        in_windows = isinstance(found, Stream)
        of = dict(size=len(found), batch_size=batch_size, seed=seed)
        indices, weights, epoch = batch_indices(tf.constant(step, tf.int64), **of, shuffle=not in_windows)
        indices = indices[weights > 0]
        if in_windows:
            indices = permuted_in_windows(indices, len(found), found.window, seed, epoch)
        return indices.numpy().tolist()

    def tensors(self, split: str) -> dict:
        """Of a split in memory: its arrays as tensors, {"x", "y"} and, where examples have weights, "w"."""
        if split not in self._tensors:
            found = self._splits[split]
            rows = found.rows if isinstance(found, Indexed) else found
            weights = {} if rows.w is None else {"w": mapped(lambda w: np.asarray(w, np.float32), rows.w)}
            with tf.device("CPU"):
                self._tensors[split] = tf.nest.map_structure(tf.constant, {"x": rows.x, "y": rows.y, **weights})
        return self._tensors[split]

    def as_float(self, x):
        """x as the model takes it: bytes become float32, images from 0 to 1 and anything else as it is."""
        return self.encoder.decode(x)

    def decode(self, batch: dict) -> dict:
        """A batch as the model and the task take it; compiled into the step, since bytes are cheaper to move than floats."""
        targets = {"y": self._decoded_targets(batch["y"])} if "y" in batch else {}
        return {**batch, "x": self.as_float(batch["x"]), **targets}

    def _decoded_targets(self, y):
        return y if self.target_encoder is None else self.target_encoder.decode(y)

    def _split(self, name: str) -> Split | Indexed | Stream | Batches:
        if name not in self._splits:
            raise ValueError(f"the data has no split {name!r}. It has: {', '.join(self._splits)}")
        return self._splits[name]


def _ordered(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)


def _augment_of(config: dict, spec: Spec) -> Callable:
    """augment(x, uniform) -> x of the same nest, its images changed.

    Raises:
      ValueError: no images, or targets that would have to be changed with them.
    """
    change = make_augment(config)
    if all(len(shape) != 3 for shape in _shapes(spec.input_shape)):
        raise ValueError(f"augment needs images, [height, width, channels]. Received: x of shape {spec.input_shape}")
    if any(len(shape) > 1 for shape in _shapes(spec.target_shape)):
        raise ValueError(
            "augment changes x alone, while masks, boxes and images in y would have to be changed with it. Received: y of "
            f"shape {spec.target_shape} and augment={config}"
        )

    def augment(x, uniform: Callable):
        return tf.nest.map_structure(lambda t: change(t, uniform) if t.shape.rank == 4 else t, x)

    return augment


def _shapes(nest) -> list[tuple]:
    """The shapes in a nest of shapes."""
    if isinstance(nest, tuple) and all(size is None or isinstance(size, int) for size in nest):
        return [nest]
    inner = nest.values() if isinstance(nest, dict) else nest or ()
    return [shape for value in inner for shape in _shapes(value)]
