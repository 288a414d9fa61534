"""A config from a file or a folder alone: what is in it, and what is to be learnt."""

import collections
import logging
from pathlib import Path

from trainers.config import Config, load_config
from trainers.data.cells import date_formats, is_number, number_format, read_number
from trainers.data.delimited import Layout, column, read_records, row_numbers
from trainers.data.encoders.image import image_header
from trainers.data.paths import find_path
from trainers.data.sources.csv import DEFAULT_NA
from trainers.data.sources.image_folder import check_levels, find_classes, find_splits

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
    config, data, task = _folder(place, overrides) if place.is_dir() else _file(place, target, overrides)
    settings = [f"data.{key}={value}" for key, value in {"path": path, **data}.items()]
    return load_config(config, [*settings, f"task.name={task}", *overrides])


def _folder(folder: Path, overrides: tuple[str, ...]) -> tuple[str, dict, str]:
    config = "image_folder_cnn"
    level = load_config(config, overrides).data.get("class_level")
    train = find_splits(folder)["train"]
    classes = find_classes(train, level)
    if level is None:
        check_levels(train, classes)
    headers = [header for header in map(image_header, classes) if header]
    if not headers:
        raise ValueError(f"{folder}: none of the {len(classes)} images can be read, such as {next(iter(classes))}")
    height, width, _ = headers[0]
    grey = all(mode in ("1", "L", "LA") or mode.startswith("I") for _, _, mode in headers)
    scale = min(1.0, _LARGEST_SIDE / max(width, height))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    counts, colours = collections.Counter(classes.values()), "grey" if grey else "RGB"
    log.info("images: %d of %d classes (%s), as %dx%d %s", len(classes), len(counts), _shares(counts), *size, colours)
    return config, {"size": size, "channels": 1 if grey else 3}, "classify"


def _file(file: Path, target: str | None, overrides: tuple[str, ...]) -> tuple[str, dict, str]:
    given = load_config("csv_mlp", overrides).data.to_dict()
    options = {key: given[key] for key in ("separator", "header", "encoding", "decimal") if key in given}
    names, rows, layout = read_records(file, Layout(**options))
    place = _target(file, names, target)
    log.info("columns: %s", ", ".join(names) if layout.header is not False else f"{len(names)}, without names")
    na_values = given.get("na_values", DEFAULT_NA)
    left_out = {column(names, name, file) for name in given.get("drop", ())} | set(row_numbers(names, rows))
    cells = {
        name: collections.Counter(row[i] for row in rows if row[i] not in na_values)
        for i, name in enumerate(names)
        if i == place or i not in left_out
    }
    is_quantity = _say_target(names[place], cells.pop(names[place]), layout)
    data = {"target": names[place]}
    if layout.separator is not None:
        data |= {"separator": layout.separator, "header": layout.header}
    kinds = {name: _kind(known, layout) for name, known in cells.items()}
    kinds |= dict.fromkeys(given.get("categorical", ()), "categories")
    texts = [name for name, kind in kinds.items() if kind == "text"]
    if texts and not is_quantity and not {"numbers", "dates"} & set(kinds.values()):
        log.info("texts: column %r", texts[0])
        return "text_transformer", {**data, "text": texts[0]}, "classify"
    for kind in ("numbers", "dates", "categories"):
        of_kind = [name for name, found in kinds.items() if found == kind or (kind, found) == ("categories", "text")]
        if of_kind or kind != "dates":
            log.info("%s: %s", kind, ", ".join(of_kind) or "none")
    return "csv_mlp", {**data, "number": is_quantity}, "regress" if is_quantity else "classify"


def _kind(cells: collections.Counter, layout: Layout) -> str:
    """What a column is taken for, as the table encoder does."""
    if not cells:
        return "empty"
    if number_format(cells, layout.decimal, layout.separator):
        return "numbers"
    if date_formats(cells):
        return "dates"
    return "text" if _is_text(list(cells.elements())) else "categories"


def _say_target(name: str, labels: collections.Counter, layout: Layout) -> bool:
    """Whether the target is a number, not a class."""
    style = number_format(labels, layout.decimal, layout.separator)
    values = [read_number(label, style[0])[0] for label in labels] if style else []
    if values and (len(values) > _MOST_CLASSES or any(value % 1 for value in values)):
        log.info("target %r: a number from %g to %g (regression)", name, min(values), max(values))
        return True
    if len(labels) > _MOST_CLASSES and date_formats(labels):
        raise ValueError(
            f"target {name!r} has {len(labels)} dates, which are neither classes nor numbers. Give another --target"
        )
    log.info("target %r: %d classes (%s)", name, len(labels), _shares(labels))
    return False


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
