"""Small stand-ins for tensorflow-datasets sets that need a download: the right features, random content, prepared on disk as
the real ones are.
"""

import contextlib
import io

import numpy as np
import tensorflow_datasets as tfds

FEATURES = {"mnist": (28, 28, 1), "fashion_mnist": (28, 28, 1), "cifar10": (32, 32, 3), "imdb_reviews": None}
SIZES = {"train": 60, "test": 20}


def prepare(name: str, data_dir: str) -> None:
    """Write data_dir/NAME with examples that are random but for their labels."""
    builder = tfds.builder(name, data_dir=data_dir)
    if builder.is_prepared():
        return
    classes = 2 if FEATURES[name] is None else 10

    def examples(split: str):
        rng = np.random.default_rng(len(split))
        for i in range(SIZES[split]):
            label = i % classes
            if FEATURES[name] is None:
                words = rng.choice(["film", "scene", "actor", "story", ("dull", "fine")[label]], 30)
                yield i, {"text": " ".join(words), "label": label}
            else:
                image = {"image": rng.integers(0, 256, FEATURES[name]).astype(np.uint8), "label": label}
                yield i, image | ({"id": f"{split}_{i}"} if name == "cifar10" else {})

    builder._split_generators = lambda dl_manager: {split: examples(split) for split in SIZES}
    with contextlib.redirect_stdout(io.StringIO()):
        tfds.disable_progress_bar()
        builder.download_and_prepare(file_format="tfrecord")
