"""Rows of a table -> vectors. N rows, F features."""

import collections
import dataclasses
import logging
import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np

from trainers.data.cells import date_formats, number_format, read_date, read_number, warn_of_other_reading
from trainers.data.delimited import Layout, Row, named, read_records
from trainers.data.encoders.base import Encoder

log = logging.getLogger("trainers")

_MOST_CATEGORIES = 100
_MISSING = ""  # the category of all cells in na_values
_MOST_ODD = 0.1  # share of cells that are no numbers in a column which was probably meant as one

# What a date becomes: numbers, and categories as text. Those that are the same in all of the training split are left out.
_DATE_PARTS: dict[str, Callable[[datetime], float | str]] = {
    "year": lambda time: float(time.year),
    "month": lambda time: str(time.month),
    "weekday": lambda time: str(time.isoweekday()),
    "hour": lambda time: time.hour + time.minute / 60,
    "days": lambda time: (time - datetime(1970, 1, 1)).total_seconds() / 86_400,
}


@dataclasses.dataclass(kw_only=True)
class Column:
    """One column's features: a standardised number and, if the training split lacks some, whether it is missing; or one 0/1
    for each category (those of the training split, missing among them; any other is all zeros). A column of dates has several
    of these: year, hour and elapsed days as numbers, month and weekday as categories.

    Attributes:
      decimal, currency: of numbers, as `cells.number_format` finds them.
      date, part: how the date is written (`cells.read_date`), and which part of it this is.
    """

    name: str
    categories: list[str] | None = None
    mean: float = 0.0
    std: float = 1.0
    has_missing: bool = False
    decimal: str = "."
    currency: str = ""
    date: str | None = None
    part: str | None = None

    @property
    def width(self) -> int:
        return len(self.categories) if self.categories is not None else 1 + self.has_missing


class TableEncoder(Encoder):
    """Rows of cells -> float32 [N, F].

    Args:
      names: of the columns in a row, in order.
      na_values: cells that mean "missing".
      categorical: names of columns that are categories even if all cells are numbers or dates.
      layout: of a file, for `read`.
      columns: as fitted.
      day_first: whether 01/02/2026 is in February; None takes the month first, if the column does not say.
    """

    name = "table"

    def __init__(
        self,
        names: list[str],
        na_values: list[str],
        categorical: list[str] = (),
        layout: dict | None = None,
        columns: list[dict] | None = None,
        day_first: bool | None = None,
    ) -> None:
        self.names, self.na_values, self.categorical, self.layout = list(names), list(na_values), list(categorical), layout
        self.columns = columns and [Column(**column) for column in columns]
        self.day_first = day_first

    def fit(self, raw) -> None:
        cells = np.asarray(raw, dtype=object)  # [N, columns]
        self.columns = [
            column for name, values in zip(self.names, cells.T, strict=True) for column in self._fitted(name, values, raw)
        ]
        if not self.columns:
            raise ValueError(f"none of the columns {', '.join(self.names)} can be used")

    def _fitted(self, name: str, cells: np.ndarray, rows) -> list[Column]:
        missing = np.isin(cells.astype(str), self.na_values)
        known = cells[~missing]
        counts = collections.Counter(known)
        if not counts:
            log.warning("column %r is left out: it is empty in the training split", name)
            return []
        if len(counts) < 2:
            log.warning("column %r is constant in the training split", name)
        if name not in self.categorical:
            column = self._number(name, counts) or self._date(name, counts)
            if column:
                known = _read(column, cells, missing, rows)[~missing]
                return _parts(column, known, missing) if column.date else [_scaled(column, known, missing)]
            _warn_of_odd_cells(name, counts)
            if len(counts) > max(20, len(known) // 2):
                log.warning("column %r is left out: it looks like an id, %d texts in %d rows", name, len(counts), len(known))
                return []
        if len(counts) > _MOST_CATEGORIES:
            log.warning("column %r has %d categories; the %d most frequent are kept", name, len(counts), _MOST_CATEGORIES)
        return [_category(Column(name=name), counts, missing)]

    def _number(self, name: str, counts: dict[str, int]) -> Column | None:
        layout = self.layout or {}
        wanted = layout.get("decimal")
        found = number_format(counts, wanted, layout.get("separator"))
        if found is None:
            return None
        decimal, currency = found
        if not wanted:
            warn_of_other_reading(f"column {name!r}", counts, decimal)
        if len(counts) == sum(counts.values()) > 20:
            values = [read_number(cell, decimal)[0] for cell in counts]
            if all(value % 1 == 0 for value in values) and max(values) - min(values) + 1 <= 2 * len(values):
                log.warning(
                    "column %r looks like an id: another whole number in each row; drop=(%r,) leaves it out", name, name
                )
        return Column(name=name, decimal=decimal, currency=currency)

    def _date(self, name: str, counts: dict[str, int]) -> Column | None:
        styles = date_formats(counts)
        if not styles:
            return None
        style = styles[-1 if self.day_first else 0]
        example = next((cell for cell in counts if read_date(cell, styles[0]) != read_date(cell, styles[-1])), None)
        if example and self.day_first is None:
            as_read = f"{read_date(example, style):%d %B %Y}"
            log.warning("column %r: %s is read as %s; day_first=True reads it otherwise", name, example, as_read)
        return Column(name=name, date=style)

    def encode(self, raw) -> np.ndarray:
        if not len(raw):
            raise ValueError(f"there must be a row or more, with the cells {', '.join(self.names)}. Received: none")
        names = getattr(raw[0], "names", None) or self.names
        self._check(names, raw[0])
        cells = np.asarray(raw, dtype=object).reshape(len(raw), -1)
        if cells.shape[1] != len(names):
            raise ValueError(f"a row must have the cells {', '.join(self.names)}. Received: {cells.shape[1]} cells")
        blocks, read = [], {}  # the parts of a date read it once
        for column in self.columns:
            found = cells[:, names.index(column.name)]
            missing = np.isin(found.astype(str), self.na_values)
            if column.name not in read:
                is_category = column.categories is not None and not column.date
                read[column.name] = found if is_category else _read(column, found, missing, raw)
            blocks.append(_features(column, read[column.name], missing))
        return np.concatenate(blocks, axis=1).astype(np.float32)

    def read(self, path: Path) -> list[Row]:
        """Rows of a delimited file or .jsonl that has these columns by name, or just these and no header."""
        names, rows, _ = read_records(path, Layout(**{**self.layout, "header": False}))
        if ".jsonl" not in path.suffixes:
            # Without names in the training file its columns are "0", "1", ..., which may also be a row's cells.
            if self.layout["header"] is not False and self._is_header(rows[0]):
                names = named(rows.pop(0))
                if not rows:
                    raise ValueError(f"{path} has no rows after its header. Received: {', '.join(names)}")
            elif len(names) == len(self.names):
                names = self.names
            elif not set(self.names) <= set(names):
                raise ValueError(f"{path} must have the columns {', '.join(self.names)}. It has: {', '.join(rows[0])}")
        self._check(names, rows[0])
        for row in rows:
            row.names = names
        places = [names.index(name) for name in self.names if name in names]
        return [row.take(places) for row in rows]

    def _check(self, names: list[str], row: Row) -> None:
        """ValueError if a column is not among the names; those that are left out need not be."""
        lacking = sorted({column.name for column in self.columns} - set(names), key=self.names.index)
        if lacking:
            columns = f"the column{'s' * (len(lacking) > 1)} {', '.join(map(repr, lacking))}"
            raise ValueError(f"{row.path} lacks {columns}. It has: {', '.join(names)}")

    def _is_header(self, first: Row) -> bool:
        """Whether a row has a name of ours, or words where all of a column's cells are numbers or dates."""
        names = named(first)
        if set(names) & set(self.names):
            return True
        typed = {c.name: c for c in self.columns if c.categories is None or c.date}
        at_their_places = zip(self.names, first, strict=False) if len(first) == len(self.names) else ()
        known = [(typed[name], cell) for name, cell in at_their_places if name in typed and cell not in self.na_values]
        return any(_value(column, cell) is None for column, cell in known)

    @property
    def state(self) -> dict:
        columns = [dataclasses.asdict(column) for column in self.columns]
        given = {"names": self.names, "na_values": self.na_values, "categorical": self.categorical, "layout": self.layout}
        return {**given, "columns": columns, "day_first": self.day_first}


def _value(column: Column, cell: str) -> float | datetime | str | None:
    """What a cell says; None if it is not of the column's kind."""
    if column.date:
        return read_date(cell, column.date)
    if column.categories is not None:
        return cell
    number, currency = read_number(cell, column.decimal) or (None, "")
    return number if currency in ("", column.currency) else None


def _read(column: Column, cells: np.ndarray, missing: np.ndarray, rows) -> np.ndarray:
    """What each cell says, [N] objects; None where it is missing."""
    known, values = np.flatnonzero(~missing), np.full(len(cells), None, dtype=object)
    if (column.decimal, column.currency, column.date) == (".", "", None):
        try:
            values[known] = cells[known].astype(np.float64)
        except ValueError:
            values[known] = [_value(column, cell) for cell in cells[known]]
    else:
        values[known] = [_value(column, cell) for cell in cells[known]]
    for i, value in zip(known, values[known], strict=True):
        if value is None:
            kind = "dates" if column.date else "numbers"
            raise ValueError(f"column {column.name!r} has {kind}. Received: {cells[i]!r} in {_place(rows, i)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"column {column.name!r} must be finite. Received: {cells[i]} in {_place(rows, i)}")
    return values


def _place(rows, i: int) -> str:
    return str(rows[i]) if isinstance(rows[i], Row) else f"row {i + 1}"


def _features(column: Column, values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """[N, width]."""
    if column.part:
        values = np.array([None if value is None else _DATE_PARTS[column.part](value) for value in values], dtype=object)
    if column.categories is not None:
        values = np.where(missing, _MISSING, values)
        return (values[:, None] == np.asarray(column.categories, dtype=object)[None, :]).astype(np.float32)
    numbers = (np.where(missing, column.mean, values).astype(np.float64)[:, None] - column.mean) / column.std
    return np.concatenate([numbers, missing[:, None]], axis=1) if column.has_missing else numbers


def _scaled(column: Column, known: np.ndarray, missing: np.ndarray) -> Column:
    """The column of these numbers."""
    known = known.astype(np.float64)
    mean, std = float(known.mean()), float(known.std()) or 1.0
    return dataclasses.replace(column, mean=mean, std=std, has_missing=bool(missing.any()))


def _category(column: Column, counts: collections.Counter, missing: np.ndarray) -> Column:
    kept = [category for category, _ in counts.most_common(_MOST_CATEGORIES)]
    return dataclasses.replace(column, categories=sorted(kept + [_MISSING] * bool(missing.any())))


def _parts(column: Column, known: np.ndarray, missing: np.ndarray) -> list[Column]:
    """The columns that one of dates becomes."""
    found = []
    for part, of in _DATE_PARTS.items():
        values = np.array([of(time) for time in known], dtype=object)
        counts = collections.Counter(values)
        if len(counts) > 1:
            of_part = dataclasses.replace(column, part=part)
            is_category = isinstance(values[0], str)
            found.append(_category(of_part, counts, missing) if is_category else _scaled(of_part, values, missing))
    return found


def _warn_of_odd_cells(name: str, counts: collections.Counter) -> None:
    """Of a column that was probably meant as numbers or dates."""
    styles = {style for cell in list(counts)[:5] for style in date_formats([cell])}
    for kind, is_one in {
        "numbers": lambda cell: number_format([cell]) is not None,
        "dates": lambda cell: any(read_date(cell, style) for style in styles),
    }.items():
        odd = [cell for cell in counts if not is_one(cell)]
        share = sum(counts[cell] for cell in odd) / sum(counts.values())
        if not odd:
            log.warning("column %r is not taken for %s: they are written in several ways", name, kind)
        elif share <= _MOST_ODD:
            text = "column %r is not taken for %s: %.1f%% of its cells are none, such as %r; na_values lists what means missing"
            log.warning(text, name, kind, 100 * share, odd[0])
