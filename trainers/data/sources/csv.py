"""A table in a delimited file, or in one for each split."""

import dataclasses
import logging
from pathlib import Path

import numpy as np

from trainers.data.cells import number_format, read_number, warn_of_other_reading
from trainers.data.delimited import Layout, Row, column, read_records, row_numbers
from trainers.data.encoders import TableEncoder
from trainers.data.overlap import warn_of_shared
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
    decimal: str | None = None,
    day_first: bool | None = None,
    split_seed: int = 0,
    data_dir: str | None = None,
) -> Source:
    """Rows of a CSV, TSV or JSON-lines file, also gzipped. Columns of numbers are standardised, dates become their parts (year,
    month, weekday, hour, elapsed days), others become categories. Numbers may be written as 1,234.5, 1.234,5, $12.30 and 42%
    (0.42). An unnamed column that numbers the rows is left out.

    Args:
      path: of the file; looked for under the data directory too.
      target: name or number of the column to predict.
      number: the target is a number (regression), not a class.
      validation, test: another file of the same columns, or the share of rows that is split off, by `split_seed` and, for
        classes, stratified.
      drop: columns to leave out.
      categorical: columns that are categories though all their cells are numbers or dates.
      na_values: cells that mean "missing"; a row whose target is missing is left out.
      separator: between cells; None finds it.
      header: whether the first row has names; None finds out.
      encoding: of the file; its byte-order mark goes before it.
      decimal: "." or ",", where a column's cells do not say, as "1,234" does not; None takes the comma in files with
        semicolons, else the point.
      day_first: whether 01/02/2026 is in February; None takes the month first where a column's cells do not say.
    """
    layout = Layout(separator=separator, header=header, encoding=encoding, decimal=decimal)
    file = find_path(path, data_dir)
    names, rows, layout = read_records(file, layout)
    place = column(names, target, file)
    numbering = [i for i in row_numbers(names, rows) if i != place]
    if numbering:
        log.info("column %r is left out: it numbers the rows", names[numbering[0]])
    left_out = {place, *numbering, *(column(names, name, file) for name in drop)}
    kept = [i for i in range(len(names)) if i not in left_out]
    style = _style(rows, place, na_values, layout) if number else None
    compared = [i for i in range(len(names)) if i not in {place, *numbering}]

    def split(file: Path, rows: list[Row]) -> Split:
        known = [row for row in rows if row[place] not in na_values]
        if len(known) < len(rows):
            log.warning("%d of %d rows are left out: their %r is missing", len(rows) - len(known), len(rows), names[place])
        if not known:
            raise ValueError(f"{file} has no row whose {names[place]!r} is known")
        return Split(known, np.asarray([_number(row, place, style) if number else row[place] for row in known]))

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
    # Whole rows: those that differ in a column that is left out, such as an id, are different examples.
    warn_of_shared({name: [tuple(row[i] for i in compared) for row in split.x] for name, split in splits.items()})
    for each in splits.values():
        each.x = [row.take(kept) for row in each.x]
    encoder = TableEncoder(
        [names[i] for i in kept],
        list(na_values),
        [names[column(names, c, file)] for c in categorical],
        dataclasses.asdict(layout),
        day_first=day_first,
    )
    return Source(splits, encoder, is_number=number)


def _style(rows: list[Row], place: int, na_values: tuple[str, ...], layout: Layout) -> tuple[str, str]:
    """How the target's numbers are written."""
    known = {row[place]: row for row in rows if row[place] not in na_values}
    found = number_format(known, layout.decimal, layout.separator)
    if found is None:
        wrong = next((cell for cell in known if number_format([cell]) is None), next(iter(known)))
        raise ValueError(
            f"target {rows[0].names[place]!r} must be a number. Received: {wrong!r} in {known[wrong]}; "
            "for classes, number=False and task classify"
        )
    if layout.decimal is None:
        warn_of_other_reading(f"target {rows[0].names[place]!r}", known, found[0])
    return found


def _number(row: Row, place: int, style: tuple[str, str]) -> np.float32:
    decimal, currency = style
    name, cell = row.names[place], row[place]
    value, sign = read_number(cell, decimal) or (None, "")
    if value is None or sign not in ("", currency):
        raise ValueError(f"target {name!r} must be a number, written as in the training split. Received: {cell!r} in {row}")
    if not np.isfinite(np.float32(value)):
        raise ValueError(f"target {name!r} must be finite. Received: {cell} in {row}")
    return np.float32(value)
