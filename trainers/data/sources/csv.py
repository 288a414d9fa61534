"""A table in a delimited file, or in one for each split."""

import dataclasses
import logging
from pathlib import Path

import numpy as np

from trainers.data.delimited import Layout, column, is_number, read_records
from trainers.data.encoders import TableEncoder
from trainers.data.encoders.base import check_finite
from trainers.data.paths import find_path
from trainers.data.spec import Source, Split
from trainers.data.splitting import complete

log = logging.getLogger("trainers")

DEFAULT_NA = ("", "NA", "N/A", "NaN", "nan", "null", "None", "?")


def csv(
    path: str,
    *,
    target: str | int,
    number: bool = False,
    validation: str | float = 0.1,
    test: str | float = 0.2,
    drop: tuple[str | int, ...] = (),
    categorical: tuple[str | int, ...] = (),
    na_values: tuple[str, ...] = DEFAULT_NA,
    separator: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
    split_seed: int = 0,
    data_dir: str | None = None,
) -> Source:
    """Rows of a CSV, TSV or JSON-lines file, also gzipped. Columns of numbers are standardised, others become categories.

    Args:
      path: of the file; looked for under the data directory too.
      target: name or number of the column to predict.
      number: the target is a number (regression), not a class.
      validation, test: another file of the same columns, or the share of rows that is split off, by `split_seed` and, for
        classes, stratified.
      drop: columns to leave out.
      categorical: columns that are categories though all their cells are numbers.
      na_values: cells that mean "missing"; a row whose target is missing is left out.
      separator: between cells; None finds it.
      header: whether the first row has names; None finds out.
      encoding: of the file.
    """
    layout = Layout(separator=separator, header=header, encoding=encoding)
    file = find_path(path, data_dir)
    names, rows, layout = read_records(file, layout)
    place = column(names, target, file)
    left_out = {place, *(column(names, name, file) for name in drop)}
    kept = [i for i in range(len(names)) if i not in left_out]

    def split(file: Path, rows: list[list[str]]) -> Split:
        known = [row for row in rows if row[place] not in na_values]
        if len(known) < len(rows):
            log.warning("%d of %d rows are left out: their %r is missing", len(rows) - len(known), len(rows), names[place])
        if not known:
            raise ValueError(f"{file} has no row whose {names[place]!r} is known")
        return Split([[row[i] for i in kept] for row in known], _target([row[place] for row in known], number, names[place]))

    splits = {"train": split(file, rows)}
    shares = {"validation": validation, "test": test}
    for name, other in shares.items():
        if isinstance(other, str):
            other_file = find_path(other, data_dir)
            other_names, rows, _ = read_records(other_file, layout)
            if other_names != names:
                raise ValueError(f"{other} must have the columns {', '.join(names)}. It has: {', '.join(other_names)}")
            splits[name] = split(other_file, rows)
    splits = complete(splits, **shares, seed=split_seed, stratify=not number)
    encoder = TableEncoder(
        [names[i] for i in kept],
        list(na_values),
        [names[column(names, c, file)] for c in categorical],
        dataclasses.asdict(layout),
    )
    return Source(splits, encoder, is_number=number)


def _target(cells: list[str], number: bool, name: str) -> np.ndarray:
    if not number:
        return np.asarray(cells)
    for cell in cells:
        if not is_number(cell):
            raise ValueError(
                f"target {name!r} must be a number. Received: {cell!r}; for classes, number=False and task classify"
            )
    return check_finite(np.asarray(cells, np.float32), f"target {name!r}")
