"""A folder of image files, one folder for each class."""

import collections
import logging
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trainers.data.encoders import ImageEncoder
from trainers.data.encoders.image import image_header, read_images
from trainers.data.encoders.image_files import file_reader
from trainers.data.lazy import MOST_BYTES_IN_MEMORY
from trainers.data.paths import find_path
from trainers.data.spec import Indexed, Source, Split
from trainers.data.splitting import complete

log = logging.getLogger("trainers")

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
_SPLITS = {"train": "train", "training": "train", "validation": "validation", "val": "validation", "valid": "validation",
           "dev": "validation", "test": "test", "testing": "test"}  # fmt: skip
_ON_BAD_IMAGE = ("refuse", "skip")


def image_folder(
    path: str,
    *,
    size: tuple[int, int] | None = None,
    channels: int = 3,
    class_level: int | None = None,
    on_bad_image: str = "refuse",
    validation: float = 0.1,
    test: float = 0.2,
    in_memory: bool | None = None,
    split_seed: int = 0,
    data_dir: str | None = None,
) -> Source:
    """FOLDER/CLASS/IMAGE; or FOLDER/train/CLASS/IMAGE with validation (val, valid, dev) and test beside train. Hidden files are
    passed over.

    Args:
      path: of the folder; looked for under the data directory too.
      size: (height, width) that all are resized to; None for that of the first image.
      channels: 1 (grey), 3 (RGB) or 4 (RGBA).
      class_level: which folder on the way to an image names its class; None for 1, the first.
      on_bad_image: "refuse" the folder where an image cannot be read, naming each; or "skip" them.
      validation, test: shares that are split off, stratified, where the folder has no such split.
      in_memory: False reads images when they are needed; None decides by their size (2 GiB, decoded).

    Raises:
      ValueError: no images, or images that cannot be read.
    """
    if on_bad_image not in _ON_BAD_IMAGE:
        raise ValueError(f"on_bad_image must be one of {', '.join(_ON_BAD_IMAGE)}. Received: {on_bad_image!r}")
    folder = find_path(path, data_dir)
    folders = find_splits(folder)
    found = {name: find_classes(place, class_level) for name, place in folders.items()}
    _say_what_is_not_used(folder, folders, found)
    files = [file for split in found.values() for file in split]
    headers = {file: header for file in files if (header := image_header(file))}
    deep = sum(mode.startswith("I") for _, _, mode in headers.values())
    if deep:
        log.info("%d images have 16 bits a pixel, which become 8: 65535 is 255", deep)
    shape = (*(size or next(iter(headers.values()), (1, 1))[:2]), channels)
    if in_memory is None:
        in_memory = len(files) * math.prod(shape) <= MOST_BYTES_IN_MEMORY
    unread = [str(file) if file in headers else ValueError(f"{file} is no image that can be read") for file in files]
    images = dict(zip(files, read_images(files, shape) if in_memory else unread, strict=True))
    _check_readable(images, on_bad_image)
    splits = {}
    for name, classes in found.items():
        readable = [file for file in classes if not isinstance(images[file], ValueError)]
        splits[name] = Split([images[file] for file in readable], np.asarray([classes[file] for file in readable]))
    splits = complete(splits, validation=validation, test=test, seed=split_seed, stratify=True)
    encoder = ImageEncoder(shape)
    return Source(splits if in_memory else {name: _indexed(split, encoder) for name, split in splits.items()}, encoder)


def _indexed(split: Split, encoder: ImageEncoder) -> Indexed:
    return Indexed(Split(np.asarray(split.x, object), split.y), file_reader(encoder))


def find_splits(folder: Path) -> dict[str, Path]:
    """The folder of each split that there is; the whole folder as "train" where it has no split of that name."""
    given = {}
    for place in _folders(folder):
        name = _SPLITS.get(place.name.lower())
        if name and any(map(_images, _folders(place))):
            if name in given:
                raise ValueError(f"{folder} has two folders for {name}: {given[name].name} and {place.name}")
            given[name] = place
    return given if "train" in given else {"train": folder}


def find_classes(folder: Path, class_level: int | None = None) -> dict[Path, str]:
    """The class of each image in a split's folder, in the order of their names.

    Raises:
      ValueError: no images, or one that is in fewer folders.
    """
    found = [file for place in _folders(folder) for file in _images(place)]
    if not found:
        raise ValueError(
            f"{folder} has no images. Expected: one folder for each class, with files {', '.join(sorted(SUFFIXES))}"
        )
    above = {file: file.relative_to(folder).parts[:-1] for file in found}
    level = class_level or 1
    flat = next((file for file, parts in above.items() if len(parts) < level), None)
    if flat:
        raise ValueError(f"class_level={level} needs every image in so many folders. Received: {flat.relative_to(folder)}")
    return {file: parts[level - 1] for file, parts in above.items()}


def check_levels(folder: Path, files: Iterable[Path]) -> None:
    """ValueError if no image is just below the first level, and that is one folder, or has the same names in several."""
    pairs = {file.relative_to(folder).parts[:-1][:2] for file in files}
    if any(len(pair) == 1 for pair in pairs):
        return
    first, second = ({pair[level] for pair in pairs} for level in (0, 1))
    if len(first) == 1 or len(second) < len(pairs):
        raise ValueError(
            f"{folder} has folders in folders: are the classes {_some(first)}, or {_some(second)}? "
            "--config.data.class_level=1 takes the first, 2 the second"
        )


def _say_what_is_not_used(folder: Path, folders: dict[str, Path], found: dict[str, dict[Path, str]]) -> None:
    if folders != {"train": folder}:
        others = {place.name for place in _folders(folder)} - {place.name for place in folders.values()}
        if others:
            log.warning("%s has the splits %s; %s beside them is not used", folder, ", ".join(folders), _some(others))
    for name, place in folders.items():
        parts = [file.relative_to(place).parts for file in found[name]]
        nested = next((f"{first}/{second}" for first, second, *rest in parts if rest), None)
        if nested:
            log.warning("%s: the classes are %s; folders in or above these, as in %s, do not count (class_level chooses)",
                        place, _some(set(found[name].values())), nested)  # fmt: skip
        empty = {inner.name for inner in _folders(place)} - {first for first, *_ in parts}
        if empty:
            log.warning("%s: no images in %s, which is no class", place, _some(empty))
        files = [file for file in place.rglob("*") if file.is_file() and not _is_hidden(file.relative_to(place))]
        loose = sum(file.parent == place and file.suffix.lower() in SUFFIXES for file in files)
        if loose:
            log.warning("%s: %d images in no class folder are left out", place, loose)
        others = collections.Counter(file.suffix.lower() or file.name for file in files if file.suffix.lower() not in SUFFIXES)
        if others:
            log.info("%s: %d files that are no images are passed over (%s)", place, others.total(), _some(others))


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:5] + ["..."] * (len(names) > 5))


def _folders(folder: Path) -> list[Path]:
    return [place for place in sorted(folder.iterdir()) if place.is_dir() and not _is_hidden(Path(place.name))]


def _images(folder: Path) -> list[Path]:
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES and file.is_file()]
    return [file for file in files if not _is_hidden(file.relative_to(folder))]


def _is_hidden(path: Path) -> bool:
    """Also of macOS, which puts a ._FILE beside each in archives, in a folder __MACOSX."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _check_readable(images: dict[Path, np.ndarray | str | ValueError], on_bad_image: str) -> None:
    bad = {file: error for file, error in images.items() if isinstance(error, ValueError)}
    listed = ", ".join(map(str, bad))
    if len(bad) == 1 and on_bad_image == "refuse":
        raise ValueError(f"{next(iter(bad.values()))}; on_bad_image=skip leaves it out")
    if bad and on_bad_image == "refuse":
        raise ValueError(f"{len(bad)} of {len(images)} images cannot be read; on_bad_image=skip leaves them out: {listed}")
    if bad:
        log.warning("%d of %d images cannot be read and are left out: %s", len(bad), len(images), listed)
    if len(bad) == len(images):
        raise ValueError("none of the images can be read")
