"""A tensorflow-datasets data set, ours in `trainers/data/datasets/` among them."""

import contextlib
import difflib
import importlib
import io
import logging
import pkgutil
import threading

import numpy as np
import requests
import tensorflow as tf
import tensorflow_datasets

from trainers.data import datasets
from trainers.data.encoders import ArrayEncoder, Encoder, ImageEncoder, TextEncoder
from trainers.data.encoders.image_files import resized
from trainers.data.lazy import MOST_BYTES_IN_MEMORY
from trainers.data.spec import Source, Split, Stream

log = logging.getLogger("trainers")

_WINDOW_BYTES = 2**28  # of a streamed set, shuffled in memory
_OTHER_SOURCES = ("csv", "image_folder", "npz", "text")
_PROBE = "https://storage.googleapis.com"


def tfds(
    name: str,
    *,
    train: str | None = None,
    validation: str | None = None,
    test: str | None = None,
    x: str | None = None,
    y: str | None = None,
    size: tuple[int, int] | None = None,
    standardize: bool = False,
    tokenizer: str = "word",
    vocab: int = 10_000,
    max_length: int | None = None,
    lowercase: bool = True,
    in_memory: bool | None = None,
    data_dir: str | None = None,
) -> Source:
    """A data set by its tensorflow-datasets name, prepared if it can be.

    Args:
      name: "mnist", "imdb_reviews/plain_text", ...
      train, validation, test: in tfds' split syntax ("train[:90%]"). None for the split of that name; where there is no
        validation split, for the last 10% of train; where there is no test split, for the 10% before these.
      x, y: names of features; None for the supervised pair.
      size: (height, width) that images are resized to; needed where they differ.
      standardize: numbers, by the training split's mean and standard deviation.
      tokenizer, vocab, max_length, lowercase: of texts, as in the source `text`.
      in_memory: False streams the set through a shuffle buffer; None decides by its size (2 GiB).
      data_dir: where tfds keeps data sets; None for ~/tensorflow_datasets or $TFDS_DATA_DIR.

    Raises:
      ValueError: an unknown set, split or feature; or a set that is not prepared and cannot be downloaded.
    """
    builder = _prepared_builder(name, data_dir)
    keys = builder.info.supervised_keys or (None, None)
    x, y = x or keys[0], y or keys[1]
    features = builder.info.features
    if not isinstance(x, str) or not isinstance(y, str) or {x, y} - set(features):
        raise ValueError(
            f"data set {name!r} needs x and y, names of features. Received: {x} and {y}. It has: {', '.join(features)}"
        )
    encoder, is_image = _encoder(features[x], size, standardize, (tokenizer, vocab, max_length, lowercase), name)
    shape = encoder.shape if is_image else None

    @tf.autograph.experimental.do_not_convert  # nothing in it depends on a tensor's value
    def pair(example):
        value = example[x]
        if is_image:
            value = features[x].decode_example(value)
            value = value if value.shape == shape else resized(value, shape)
        return {"x": value, "y": example[y]}

    undecoded = {x: tensorflow_datasets.decode.SkipDecoding()} if is_image else None  # images that are skipped stay files
    splits = {}
    for split, instruction in _split_names(builder, train, validation, test).items():
        try:
            size_of_split = builder.info.splits[instruction].num_examples
        except (KeyError, ValueError, AssertionError) as error:
            raise ValueError(
                f"data set {name!r} has no split {instruction!r}. It has: {', '.join(builder.info.splits)}"
            ) from error
        if not size_of_split:
            raise ValueError(f"split {instruction!r} of data set {name!r} is empty")
        dataset = builder.as_dataset(split=instruction, shuffle_files=False, decoders=undecoded)
        examples = dataset.map(pair, num_parallel_calls=tf.data.AUTOTUNE)
        example_bytes = _bytes(examples.element_spec["x"])
        fits = in_memory if in_memory is not None else size_of_split * example_bytes <= MOST_BYTES_IN_MEMORY
        window = min(max(_WINDOW_BYTES // example_bytes, 256), 10_000)
        splits[split] = _in_memory(examples) if fits else Stream(dataset, size_of_split, window, read=pair)
    label = features[y]
    is_label = isinstance(label, tensorflow_datasets.features.ClassLabel)
    is_number = not is_label and np.issubdtype(label.np_dtype, np.floating)
    return Source(splits, encoder, tuple(label.names) if is_label else None, is_number=is_number)


def _prepared_builder(name: str, data_dir: str | None):
    own = [module.name for module in pkgutil.iter_modules(datasets.__path__)]
    if name in own:
        importlib.import_module(f"{datasets.__name__}.{name}")  # importing it registers it
    try:
        builder = tensorflow_datasets.builder(name, data_dir=data_dir)
    except tensorflow_datasets.core.registered.DatasetNotFoundError as error:
        names = [*own, *_OTHER_SOURCES, *tensorflow_datasets.list_builders(with_community_datasets=False)]
        nearest = ", ".join(difflib.get_close_matches(name, names, n=4)) or ", ".join([*own, *_OTHER_SOURCES])
        raise ValueError(f"unknown data set {name!r}. Nearest: {nearest}") from error
    except (ValueError, AssertionError) as error:
        raise ValueError(f"data set {name!r}: {str(error).splitlines()[0]}") from error
    if builder.is_prepared():
        return builder
    if name not in own and not _online():
        raise ValueError(
            f"data set {name!r} is not prepared in {builder.data_dir} and cannot be downloaded: {_PROBE} does not answer. "
            "Give --data_dir of a folder where tfds has prepared it"
        )
    log.info("preparing data set %s in %s", name, builder.data_dir)
    with contextlib.redirect_stdout(io.StringIO()) if name in own else contextlib.nullcontext():
        builder.download_and_prepare(file_format="tfrecord")
    return builder


def _online() -> bool:
    """Whether a download has a chance; told within seconds, where tfds itself retries for minutes."""
    reached = []

    def probe() -> None:
        with contextlib.suppress(requests.RequestException):
            requests.head(_PROBE, timeout=5)
            reached.append(True)

    thread = threading.Thread(target=probe, daemon=True)  # a name may have many addresses, each with its own time limit
    thread.start()
    thread.join(timeout=10)
    return bool(reached)


def _split_names(builder, train: str | None, validation: str | None, test: str | None) -> dict[str, str]:
    has = builder.info.splits
    train = train or "train"
    if validation is None and "validation" in has and not train.startswith("validation"):
        validation = "validation"
    if test is None and "test" in has and not train.startswith("test"):
        test = "test"
    if validation and test:
        return {"train": train, "validation": validation, "test": test}
    if "[" in train or "+" in train:
        absent = "validation" if test else "test" if validation else "validation and test"
        raise ValueError(f"with train={train!r}, say which part is {absent}")
    if validation:
        return {"train": f"{train}[:90%]", "validation": validation, "test": f"{train}[90%:]"}
    if test:
        return {"train": f"{train}[:90%]", "validation": f"{train}[90%:]", "test": test}
    return {"train": f"{train}[:80%]", "validation": f"{train}[90%:]", "test": f"{train}[80%:90%]"}


def _encoder(feature, size, standardize: bool, text: tuple, name: str) -> tuple[Encoder, bool]:
    kinds = tensorflow_datasets.features
    if isinstance(feature, kinds.Text):
        return TextEncoder(*text), False
    if isinstance(feature, kinds.Image):
        shape = (*(size or feature.shape[:2]), feature.shape[2])
        if None in shape:
            raise ValueError(f"images of data set {name!r} differ in size: give size=(height, width)")
        return ImageEncoder(shape), True
    if isinstance(feature, kinds.FeaturesDict) or None in feature.shape:
        raise ValueError(f"data set {name!r}: x must have one fixed shape. Received: {feature}")
    return ArrayEncoder(standardize), False


def _bytes(spec: tf.TensorSpec) -> int:
    """Of one example; a text is taken for 1000."""
    return 1000 if spec.dtype == tf.string else max(spec.shape.num_elements() or 1, 1) * spec.dtype.size


def _in_memory(dataset: tf.data.Dataset) -> Split:
    batches = list(dataset.batch(4096).as_numpy_iterator())
    x, y = (np.concatenate([batch[key] for batch in batches]) for key in ("x", "y"))
    return Split(x, y)
