"""Rows of a table -> vectors. N rows, F features."""

import collections
import dataclasses
import logging
from pathlib import Path

import numpy as np

from trainers.data.delimited import Layout, is_number, read_records
from trainers.data.encoders.base import Encoder, check_finite

log = logging.getLogger("trainers")

_MOST_CATEGORIES = 100
_MISSING = ""  # the category of all cells in na_values


@dataclasses.dataclass(kw_only=True)
class Column:
    """One column's features: a standardised number and, if the training split lacks some, whether it is missing; or one 0/1
    for each category (those of the training split, missing among them; any other is all zeros).
    """

    name: str
    categories: list[str] | None = None
    mean: float = 0.0
    std: float = 1.0
    has_missing: bool = False

    @property
    def width(self) -> int:
        return len(self.categories) if self.categories is not None else 1 + self.has_missing


class TableEncoder(Encoder):
    """Rows of cells -> float32 [N, F].

    Args:
      names: of the columns in a row, in order.
      na_values: cells that mean "missing".
      categorical: names of columns that are categories even if all cells are numbers.
      layout: of a file, for `read`.
      columns: as fitted.
    """

    name = "table"

    def __init__(
        self,
        names: list[str],
        na_values: list[str],
        categorical: list[str] = (),
        layout: dict | None = None,
        columns: list[dict] | None = None,
    ) -> None:
        self.names, self.na_values, self.categorical, self.layout = list(names), list(na_values), list(categorical), layout
        self.columns = columns and [Column(**column) for column in columns]

    def fit(self, raw) -> None:
        cells = np.asarray(raw, dtype=object)  # [N, columns]
        self.columns = []
        for name, values in zip(self.names, cells.T, strict=True):
            column = self._fitted(name, values)
            if column is not None:
                self.columns.append(column)
        if not self.columns:
            raise ValueError(f"none of the columns {', '.join(self.names)} can be used")

    def _fitted(self, name: str, cells: np.ndarray) -> Column | None:
        missing = np.isin(cells.astype(str), self.na_values)
        known = cells[~missing]
        counts = collections.Counter(known)
        if len(counts) < 2:
            log.warning("column %r is constant in the training split", name)
        if name not in self.categorical and all(is_number(cell) for cell in counts):
            values = check_finite(known.astype(np.float64), f"column {name!r}")
            whole = len(values) and np.all(values % 1 == 0)
            if whole and len(counts) == len(values) > 20 and np.ptp(values) + 1 <= 2 * len(values):
                log.warning(
                    "column %r looks like an id: another whole number in each row; drop=(%r,) leaves it out", name, name
                )
            mean, std = (values.mean(), values.std()) if len(values) else (0.0, 1.0)
            return Column(name=name, mean=float(mean), std=float(std) or 1.0, has_missing=bool(missing.any()))
        if name not in self.categorical and len(counts) > max(20, len(known) // 2):
            log.warning("column %r is left out: it looks like an id, %d texts in %d rows", name, len(counts), len(known))
            return None
        if len(counts) > _MOST_CATEGORIES:
            log.warning("column %r has %d categories; the %d most frequent are kept", name, len(counts), _MOST_CATEGORIES)
        kept = [category for category, _ in counts.most_common(_MOST_CATEGORIES)]
        return Column(name=name, categories=sorted(kept + [_MISSING] * bool(missing.any())))

    def encode(self, raw) -> np.ndarray:
        if not len(raw):
            raise ValueError(f"there must be a row or more, with the cells {', '.join(self.names)}. Received: none")
        cells = np.asarray(raw, dtype=object).reshape(len(raw), -1)
        if cells.shape[1] != len(self.names):
            raise ValueError(f"a row must have the cells {', '.join(self.names)}. Received: {cells.shape[1]} cells")
        blocks = [self._encoded(column, cells[:, self.names.index(column.name)]) for column in self.columns]
        return np.concatenate(blocks, axis=1).astype(np.float32)

    def _encoded(self, column: Column, cells: np.ndarray) -> np.ndarray:
        missing = np.isin(cells.astype(str), self.na_values)
        if column.categories is not None:
            cells = np.where(missing, _MISSING, cells)
            return (cells[:, None] == np.asarray(column.categories, dtype=object)[None, :]).astype(np.float32)
        for row in np.flatnonzero(~missing):
            if not is_number(cells[row]):
                raise ValueError(f"column {column.name!r} has numbers. Received: {cells[row]!r} in row {row + 1}")
        values = np.where(missing, column.mean, cells).astype(np.float64)
        values = (check_finite(values, f"column {column.name!r}")[:, None] - column.mean) / column.std
        return np.concatenate([values, missing[:, None]], axis=1) if column.has_missing else values

    def read(self, path: Path) -> list[list[str]]:
        """Rows of a delimited file or .jsonl that has these columns by name, or just these and no header."""
        # Without names in the training file its columns are "0", "1", ..., which may also be a row's cells.
        may_have_header = self.layout["header"] is not False and ".jsonl" not in path.suffixes
        names, rows, _ = read_records(path, Layout(**{**self.layout, "header": False}))
        if may_have_header and set(self.names) <= set(rows[0]):
            names = rows.pop(0)
            if not rows:
                raise ValueError(f"{path} has no rows after its header. Received: {', '.join(names)}")
        if set(self.names) <= set(names):
            places = [names.index(name) for name in self.names]
        elif len(names) == len(self.names):
            places = range(len(names))
        else:
            raise ValueError(
                f"{path} must have the columns {', '.join(self.names)}. It has: {', '.join(rows[0] if rows else names)}"
            )
        return [[row[place] for place in places] for row in rows]

    @property
    def state(self) -> dict:
        columns = [dataclasses.asdict(column) for column in self.columns]
        given = {"names": self.names, "na_values": self.na_values, "categorical": self.categorical, "layout": self.layout}
        return {**given, "columns": columns}
