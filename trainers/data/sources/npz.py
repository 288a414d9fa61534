"""NumPy arrays in a .npz file."""

import zipfile

import numpy as np

from trainers.data.encoders import ArrayEncoder, ImageEncoder, LabelEncoder
from trainers.data.encoders.image import is_images
from trainers.data.paths import find_path
from trainers.data.spec import Source, Split
from trainers.data.splitting import complete


def npz(
    path: str,
    *,
    number: bool = False,
    standardize: bool = False,
    validation: float = 0.1,
    test: float = 0.2,
    split_seed: int = 0,
    data_dir: str | None = None,
) -> Source:
    """Arrays x and y; or x_train and y_train with x_test, y_test, x_validation, y_validation, as Keras' mnist.npz has them.

    Bytes [N, H, W] or [N, H, W, C] are images; other numbers are taken as they are, or standardised.

    Args:
      path: of the file; looked for under the data directory too. Pickled objects in it are refused.
      number: y is a number (regression), not a class number or name.
      standardize: x, by the training split's mean and standard deviation.
      validation, test: shares that are split off where the file has no such split.
    """
    file = find_path(path, data_dir)
    try:
        with np.load(file, allow_pickle=False) as opened:
            arrays = dict(opened)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} is no .npz of plain arrays: {error}") from error
    given = {
        n: (arrays[f"x_{n}"], arrays[f"y_{n}"])
        for n in ("train", "validation", "test")
        if {f"x_{n}", f"y_{n}"} <= arrays.keys()
    }
    if "train" not in given:
        if not {"x", "y"} <= arrays.keys():
            raise ValueError(f"{file} must have arrays x and y, or x_train and y_train. It has: {', '.join(arrays) or 'none'}")
        given["train"] = arrays["x"], arrays["y"]
    for x, y in given.values():
        if len(x) != len(y) or not len(x):
            raise ValueError(f"{file}: x and y must have as many rows, one or more. Received: {len(x)} and {len(y)}")
    splits = {name: Split(x[..., None] if x.dtype == np.uint8 and x.ndim == 3 else x, y) for name, (x, y) in given.items()}
    train = splits["train"]
    stratify = not number and train.y.ndim == 1
    splits = complete(splits, validation=validation, test=test, seed=split_seed, stratify=stratify)
    encoder = ImageEncoder(train.x.shape[1:]) if is_images(train.x) else ArrayEncoder(standardize)
    target = {"y": LabelEncoder()} if stratify else {}  # floats are labels too, where nobody says that they are numbers
    return Source(splits, encoder, is_number=number, fields=target)
