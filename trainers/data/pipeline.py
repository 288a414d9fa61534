"""Data: what every source becomes. B batch, N examples of a split."""

import dataclasses
import inspect
import logging
import operator
import pkgutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainers.config import construct, find_by_name
from trainers.data import sources
from trainers.data.augment import make_augment
from trainers.data.batches import batches_of_arrays, batches_of_stream, indices_of_batches, padded
from trainers.data.cells import is_number
from trainers.data.encoders import ENCODERS, ArrayEncoder, Encoder, ImageEncoder, TableEncoder
from trainers.data.encoders.base import check_finite
from trainers.data.encoders.image import is_images
from trainers.data.order import batch_indices, permuted_in_windows, steps_per_epoch
from trainers.data.overlap import warn_of_shared
from trainers.data.spec import Batches, Source, Spec, Split, Stream
from trainers.files import read_json, write_json

log = logging.getLogger("trainers")

STATE_FILE = "data.json"
_ENCODED_TOGETHER = 256


class Data:
    """Splits with x and y as arrays, and batches of them.

    Attributes:
      spec: what a model and a task need to know.
      encoder: from what people have (files, text, cells of a table) to x.
    """

    def __init__(
        self, spec: Spec, splits: dict[str, Split | Stream | Batches], encoder: Encoder, augment: dict | None = None
    ) -> None:
        self.spec, self.encoder, self._splits = spec, encoder, splits
        self._augment = make_augment(augment) if augment else None
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
        """The split's x, y and w as arrays, or None where it is streamed."""
        found = self._split(split)
        return found if isinstance(found, Split) else None

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
        """Batches {"x", "y", "w"} of one static shape; the last of an epoch is padded with examples of weight 0. Bytes are
        still bytes: `as_float` is left to the compiled step.

        Args:
          training: shuffled, augmented and without end; else once, in order.
          start_step: the first batch, counted from the first epoch's first; any is reached at once where the split is in
            memory.
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
        if self._augment:
            return "take less of data.augment, or a machine with more cores"
        return "use --plan=xla_resident, or a larger batch_size"

    def examples_of_batch(self, split: str, batch_size: int, *, seed: int, step: int) -> list[int] | None:
        """Places in the split of the examples of a training batch; None where somebody else made the batches."""
        found = self._split(split)
        if isinstance(found, Batches):
            return None
        in_memory = isinstance(found, Split)
        of = dict(size=len(found), batch_size=batch_size, seed=seed)
        indices, weights, epoch = batch_indices(tf.constant(step, tf.int64), **of, shuffle=in_memory)
        indices = indices[weights > 0]
        if not in_memory:
            indices = permuted_in_windows(indices, len(found), found.window, seed, epoch)
        return indices.numpy().tolist()

    def tensors(self, split: str) -> dict:
        """Of a split in memory: its arrays as tensors, {"x", "y"} and, where examples have weights, "w"."""
        if split not in self._tensors:
            arrays = self._splits[split]
            weights = {} if arrays.w is None else {"w": arrays.w.astype(np.float32)}
            with tf.device("CPU"):
                self._tensors[split] = tf.nest.map_structure(tf.constant, {"x": arrays.x, "y": arrays.y, **weights})
        return self._tensors[split]

    def as_float(self, x):
        """What a model takes: bytes become float32: images from 0 to 1, anything else as it is."""
        return bytes_as_float(x, 255 if isinstance(self.encoder, ImageEncoder) else 1)

    def _split(self, name: str) -> Split | Stream | Batches:
        if name not in self._splits:
            raise ValueError(f"the data has no split {name!r}. It has: {', '.join(self._splits)}")
        return self._splits[name]


def bytes_as_float(x, scale: float):
    """Bytes as float32, divided by `scale`; all else as it is. Nested structures of tensors too."""
    return tf.nest.map_structure(lambda t: tf.cast(t, tf.float32) / scale if t.dtype == np.uint8 else t, x)


def _ordered(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)


def load_data(config: dict, state_dir: Path | None = None, data_dir: str | None = None) -> Data:
    """The data that a config names.

    Args:
      config: `name`, the arguments of the source, and `augment`.
      state_dir: of a run. What is fitted (vocabulary, means, categories, class names) is read from there if it is there.
      data_dir: where data sets and files are looked for.

    Raises:
      ValueError: unknown data, arguments that the source refuses, or examples that are not right; what and where.
    """
    config = dict(config)
    name, augment = config.pop("name"), config.pop("augment", None)
    source = _open(name, config, data_dir)
    if "train" not in source.splits:
        raise ValueError(f"data {name!r} has no split 'train'. It has: {', '.join(source.splits)}")
    if state_dir is not None and (state_dir / STATE_FILE).exists():
        fitted, encoder = load_encoder(state_dir)
        names = fitted.class_names
    else:
        encoder, names = source.encoder, source.class_names
        encoder.fit(_raw_x(source.splits["train"]))
        if names is None and not source.is_number:
            names = _class_names(source.splits["train"])
        _check_there_is_something_to_learn(source.splits["train"], names)
    numbered = source.class_names is not None
    splits = {split: _encoded(split, raw, encoder, names, numbered) for split, raw in source.splits.items()}
    _warn_of_shared_rows(source)
    return Data(_spec(splits, encoder, names), splits, encoder, augment)


def _open(name: str, arguments: dict, data_dir: str | None) -> Source:
    """The source of a name: a file in sources/, "package.module:function", or else a tensorflow-datasets name."""
    known = [module.name for module in pkgutil.iter_modules(sources.__path__)]
    if name in known or ":" in name:
        function, given = find_by_name("data source", name, sources.__name__, attribute=name), ()
    else:
        function, given = find_by_name("data source", "tfds", sources.__name__, attribute="tfds"), (name,)
    if "data_dir" in inspect.signature(function).parameters:
        arguments = {**arguments, "data_dir": data_dir}
    found = construct("data", name, function, arguments, *given)
    if isinstance(found, Source):
        return found
    splits = {split: Split(*map(np.asarray, arrays)) for split, arrays in found.items()}
    x, y = splits["train"].x, splits["train"].y
    encoder = ImageEncoder(x.shape[1:]) if is_images(x) else ArrayEncoder()
    return Source(splits, encoder, is_number=np.issubdtype(y.dtype, np.floating) and y.ndim == 1)


def load_encoder(state_dir: Path) -> tuple[Spec, Encoder]:
    """What a run has learnt of its data, without reading any of it."""
    state = read_json(state_dir / STATE_FILE)
    try:
        encoder = ENCODERS[state["encoder"].pop("name")](**state["encoder"])
        return Spec(**{k: tuple(v) if isinstance(v, list) else v for k, v in state["spec"].items()}), encoder
    except (KeyError, TypeError) as error:
        raise ValueError(f"{state_dir / STATE_FILE} is damaged: {error}") from error


def check_same_data(data: Data, state_dir: Path) -> None:
    """ValueError if the data is not what the run in whose folder the state is began with."""
    then, _ = load_encoder(state_dir)
    for field in dataclasses.fields(Spec):
        before, now = getattr(then, field.name), getattr(data.spec, field.name)
        if before != now:
            raise ValueError(f"the data has changed since the run began: {field.name} was {before}, now it is {now}")


def save_state(data: Data, state_dir: Path) -> None:
    """Keep what load_encoder reads."""
    state = {"spec": dataclasses.asdict(data.spec), "encoder": {"name": data.encoder.name, **data.encoder.state}}
    state_dir.mkdir(parents=True, exist_ok=True)
    write_json(state_dir / STATE_FILE, state)


def _raw_x(split: Split | Stream):
    """What an encoder is fitted on; read lazily, and only if it asks."""
    return split.x if isinstance(split, Split) else map(operator.itemgetter("x"), split.dataset.as_numpy_iterator())


def _class_names(train: Split | Stream) -> tuple[str, ...] | None:
    """The labels of the training split in order, numbers by size; for probabilities [N, C], the numbers of the classes."""
    y = train.y if isinstance(train, Split) else [e["y"] for e in train.dataset.as_numpy_iterator()]
    if np.ndim(y) == 2:
        return tuple(str(k) for k in range(np.shape(y)[1]))
    labels = set(map(str, np.asarray(y).tolist()))
    return tuple(sorted(labels, key=lambda label: (not is_number(label), float(label) if is_number(label) else 0, label)))


def _check_there_is_something_to_learn(train: Split | Stream, names: tuple[str, ...] | None) -> None:
    if names is not None and len(names) < 2:
        raise ValueError(f"the target has one class, {', '.join(names)}: there is nothing to tell apart")
    if names is None and isinstance(train, Split) and len(train) and np.all(train.y == train.y[:1]):
        raise ValueError(f"the target is {train.y[0]} in all {len(train)} training examples: there is nothing to learn")


def _encoded(name: str, raw: Split | Stream, encoder: Encoder, names: tuple[str, ...] | None, numbered: bool) -> Split | Stream:
    """The split with x encoded and y as class numbers (int32), or as numbers (float32)."""
    if not len(raw):
        raise ValueError(f"split {name!r} is empty")
    if isinstance(raw, Stream):
        return dataclasses.replace(raw, dataset=_encoded_stream(raw.dataset, encoder, names, numbered))
    x = tf.nest.map_structure(lambda a: check_finite(a, f"x of split {name!r}"), encoder.encode(raw.x))
    y = np.asarray(raw.y)
    if names is None or y.ndim == 2:
        y = check_finite(y.astype(np.float32), f"y of split {name!r}")
    else:
        y = _class_numbers(f"split {name!r}", y, names, numbered)
    return Split(x, y, raw.w)


def _class_numbers(what: str, y: np.ndarray, names: tuple[str, ...], numbered: bool) -> np.ndarray:
    """Labels as numbers. `numbered`: they are; else they are names."""
    if numbered:
        wrong = np.flatnonzero((y < 0) | (y >= len(names)))
        if len(wrong):
            raise ValueError(f"labels of {what} must be 0 to {len(names) - 1}. Received: {y[wrong[0]]} in example {wrong[0]}")
        return y.astype(np.int32)
    numbers = {label: i for i, label in enumerate(names)}
    unknown = sorted({str(label) for label in y.tolist()} - numbers.keys())
    if unknown:
        raise ValueError(
            f"{what} has the label {unknown[0]!r}, which the training split lacks. It has: {', '.join(names[:20])}"
        )
    return np.asarray([numbers[str(label)] for label in y.tolist()], np.int32)


def _encoded_stream(
    dataset: tf.data.Dataset, encoder: Encoder, names: tuple[str, ...] | None, numbered: bool
) -> tf.data.Dataset:
    first = next(dataset.batch(1).as_numpy_iterator())
    x = np.asarray(encoder.encode(first["x"]))

    def encode(block, raw_x, raw_y):
        what = f"the stream, counted from example {block * _ENCODED_TOGETHER}"
        y = raw_y.astype(np.float32) if names is None else _class_numbers(what, raw_y, names, numbered)
        return check_finite(np.asarray(encoder.encode(raw_x)), f"x of {what},"), y

    def encode_batch(block, batch):
        kinds = (x.dtype, tf.float32 if names is None else tf.int32)
        encoded = tf.numpy_function(encode, (block, batch["x"], batch["y"]), kinds)
        for tensor, shape in zip(encoded, (x.shape[1:], first["y"].shape[1:]), strict=True):
            tensor.set_shape((None, *shape))
        return dict(zip("xy", encoded, strict=True))

    blocks = dataset.batch(_ENCODED_TOGETHER).enumerate()
    return blocks.map(encode_batch, num_parallel_calls=tf.data.AUTOTUNE).unbatch()


def _spec(splits: dict[str, Split | Stream], encoder: Encoder, names: tuple[str, ...] | None) -> Spec:
    train = splits["train"]
    if isinstance(train, Stream):
        input_shape = tuple(train.dataset.element_spec["x"].shape)
        y = np.asarray(list(train.dataset.map(lambda e: e["y"]).as_numpy_iterator())) if names is None else None
    else:
        input_shape, y = tf.nest.map_structure(lambda a: a.shape[1:], train.x), train.y
    examples = {name: len(split) for name, split in splits.items()}
    common = dict(input_shape=input_shape, examples=examples, vocab_size=encoder.vocab_size)
    if names is None:
        y = y.reshape(len(y), -1).astype(np.float64)
        std = y.std(axis=0)
        return Spec(target_mean=tuple(y.mean(axis=0)), target_std=tuple(np.where(std > 0, std, 1.0)), **common)
    counts = None if y is None else tuple((y.sum(0) if y.ndim == 2 else np.bincount(y, minlength=len(names))).tolist())
    return Spec(num_classes=len(names), class_names=tuple(names), class_counts=counts, **common)


def _warn_of_shared_rows(source: Source) -> None:
    """Of examples as they were given: different ones may be encoded as the same."""
    if isinstance(source.encoder, TableEncoder):
        return  # its source compares whole rows, with the columns that are left out
    given = {n: s.x for n, s in source.splits.items() if isinstance(s, Split) and isinstance(s.x, np.ndarray | list)}
    warn_of_shared({n: [hash(e.tobytes() if hasattr(e, "tobytes") else e) for e in x] for n, x in given.items()})
