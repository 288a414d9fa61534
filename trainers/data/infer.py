"""A config from a file or a folder alone: what is in it, and what is to be learnt."""

import collections
import logging
from pathlib import Path

from trainers.config import Config, load_config
from trainers.data.delimited import Layout, column, is_number, read_records
from trainers.data.paths import find_path
from trainers.data.sources.csv import DEFAULT_NA
from trainers.data.sources.image_folder import SUFFIXES

log = logging.getLogger("trainers")

_TARGETS = ("target", "label", "class", "y")  # names that a target has where none is given
_MOST_CLASSES = 20  # whole numbers of more values than this are a quantity
_LARGEST_SIDE = 64  # pixels; larger images are resized


def infer_config(path: str, target: str | None = None, overrides: tuple[str, ...] = (), data_dir: str | None = None) -> Config:
    """A config for a CSV (or TSV, JSONL, ... of any columns), a file of texts with labels, or a folder of images.

    Args:
      target: the column to predict; None if one is called target, label, class or y.
      overrides: as for load_config.

    Raises:
      ValueError: nothing that can be learnt from, or no target.
    """
    place = find_path(path, data_dir)
    found = _folder(place) if place.is_dir() else _file(place, target)
    config, data, task = found
    settings = [f"data.{key}={value}" for key, value in {"path": path, **data}.items()]
    return load_config(config, [*settings, f"task.name={task}", *overrides])


def _folder(folder: Path) -> tuple[str, dict, str]:
    from PIL import Image

    images = [f for f in sorted(folder.glob("*/**/*")) if f.suffix.lower() in SUFFIXES]
    if not images:
        raise ValueError(
            f"{folder} has no images. Expected: one folder for each class, with files {', '.join(sorted(SUFFIXES))}"
        )
    try:
        with Image.open(images[0]) as image:
            width, height, grey = *image.size, image.mode in ("1", "L", "I;16")
    except OSError as error:
        raise ValueError(f"{images[0]} is no image that can be read: {error}") from error
    scale = min(1.0, _LARGEST_SIDE / max(width, height))
    size = (round(height * scale), round(width * scale))
    classes = collections.Counter(f.parent.name for f in images)
    log.info(
        "images: %d of %d classes (%s), as %dx%d %s",
        len(images),
        len(classes),
        _shares(classes),
        *size,
        "grey" if grey else "RGB",
    )
    return "image_folder_cnn", {"size": size, "channels": 1 if grey else 3}, "classify"


def _file(file: Path, target: str | None) -> tuple[str, dict, str]:
    names, rows, layout = read_records(file, Layout())
    place = _target(file, names, target)
    log.info("columns: %s", ", ".join(names) if layout.header is not False else f"{len(names)}, without names")
    cells = {name: [row[i] for row in rows if row[i] not in DEFAULT_NA] for i, name in enumerate(names)}
    labels = cells.pop(names[place])
    numbers = bool(labels) and all(is_number(label) for label in labels)
    kinds = collections.Counter(labels)
    is_quantity = numbers and (len(kinds) > _MOST_CLASSES or any(float(label) % 1 for label in kinds))
    if is_quantity:
        values = [float(label) for label in labels]
        log.info("target %r: a number from %g to %g (regression)", names[place], min(values), max(values))
    else:
        log.info("target %r: %d classes (%s)", names[place], len(kinds), _shares(kinds))
    texts = [name for name, known in cells.items() if _is_text(known)]
    data = {"target": names[place]}
    if layout.separator is not None:
        data |= {"separator": layout.separator, "header": layout.header}
    others = [name for name in cells if name not in texts]
    if texts and not is_quantity and not any(all(map(is_number, cells[name])) for name in others):
        log.info("texts: column %r", texts[0])
        return (
            "text_transformer",
            {**data, "text": texts[0]},
            "classify",
        )
    quantities = [name for name, known in cells.items() if all(is_number(cell) for cell in known)]
    log.info("numbers: %s", ", ".join(quantities) or "none")
    log.info("categories: %s", ", ".join(name for name in cells if name not in quantities) or "none")
    return "csv_mlp", {**data, "number": is_quantity}, "regress" if is_quantity else "classify"


def _target(file: Path, names: list[str], target: str | None) -> int:
    if target is not None:
        return column(names, target, file)
    for name in _TARGETS:
        if name in [known.lower() for known in names]:
            return [known.lower() for known in names].index(name)
    raise ValueError(f"give --target, the column to predict. {file} has: {', '.join(names)}")


def _is_text(cells: list[str]) -> bool:
    """Sentences: three words or more on average, or Chinese of some length, and hardly any twice."""
    if not cells or is_number(cells[0]):
        return False
    words = sum(len(cell.split()) for cell in cells) / len(cells)
    wide = sum(sum(ord(letter) > 0x2E80 for letter in cell) for cell in cells) / len(cells)
    return (words >= 3 or wide >= 4) and len(set(cells)) > len(cells) / 2


def _shares(counts: collections.Counter) -> str:
    total = sum(counts.values())
    shown = [f"{label} {count / total:.1%}" for label, count in counts.most_common(5)]
    return ", ".join(shown + ["..."] * (len(counts) > 5))
