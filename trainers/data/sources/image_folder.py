"""A folder of image files, one folder for each class."""

import math
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from trainers.data.encoders import ImageEncoder
from trainers.data.encoders.image_files import file_reader
from trainers.data.lazy import MOST_BYTES_IN_MEMORY
from trainers.data.paths import find_path
from trainers.data.spec import Indexed, Source, Split
from trainers.data.splitting import complete

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
SPLITS = ("train", "validation", "test")


def image_folder(
    path: str,
    *,
    size: tuple[int, int] | None = None,
    channels: int = 3,
    validation: float = 0.1,
    test: float = 0.2,
    in_memory: bool | None = None,
    split_seed: int = 0,
    data_dir: str | None = None,
) -> Source:
    """FOLDER/CLASS/IMAGE; or FOLDER/train/CLASS/IMAGE with validation and test beside train.

    Args:
      path: of the folder; looked for under the data directory too.
      size: (height, width) that all are resized to; None for that of the first image.
      channels: 1 (grey), 3 (RGB) or 4 (RGBA).
      validation, test: shares that are split off, stratified, where the folder has no such split.
      in_memory: False reads images when they are needed; None decides by their size (2 GiB, decoded).

    Raises:
      ValueError: no images.
    """
    folder = find_path(path, data_dir)
    given = {name: folder / name for name in SPLITS if (folder / name).is_dir()}
    folders = given if "train" in given else {"train": folder}
    splits = {name: Split(*_files(place)) for name, place in folders.items()}
    splits = complete(splits, validation=validation, test=test, seed=split_seed, stratify=True)
    shape = (*(size or _size(splits["train"].x[0])), channels)
    encoder = ImageEncoder(shape)
    if in_memory is None:
        in_memory = sum(map(len, splits.values())) * math.prod(shape) <= MOST_BYTES_IN_MEMORY
    if not in_memory:
        splits = {name: indexed(split, encoder) for name, split in splits.items()}
    return Source(splits, encoder)


def indexed(split: Split, encoder: ImageEncoder) -> Indexed:
    """The images of a split whose x are files, read when they are needed."""
    return Indexed(Split(np.asarray(list(map(str, split.x)), object), split.y, split.w), file_reader(encoder))


def _files(folder: Path) -> tuple[list[Path], np.ndarray]:
    """Paths and class names, in the order of their names."""
    found = [f for f in sorted(folder.glob("*/**/*")) if f.suffix.lower() in SUFFIXES and f.is_file()]
    if not found:
        raise ValueError(
            f"{folder} has no images. Expected: one folder for each class, with files {', '.join(sorted(SUFFIXES))}"
        )
    return found, np.asarray([f.relative_to(folder).parts[0] for f in found])


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is no image that can be read: {error}") from error
