"""Files of rows: CSV, TSV and their like, JSON lines, plain text; also gzipped."""

import codecs
import csv
import dataclasses
import gzip
import io
import json
import zlib
from pathlib import Path

from trainers.data.cells import is_value

csv.field_size_limit(2**27)


@dataclasses.dataclass(kw_only=True)
class Layout:
    """How a file of rows is written.

    Attributes:
      separator: between cells; None to find it. Between tabs, quotes are letters like any other.
      header: whether the first row names the columns; None to find out: it does if no cell of it is a number, a date or empty.
        Above row numbers, and above a column without any cell, it may be empty; above row numbers, names may be 0, 1, 2, ...
      encoding: of the file; a byte-order mark goes before it.
      text: name or number of the column with texts, where there is one.
      decimal: "." or ",", the mark that is preferred in columns that both read, such as one of "1,234"; None to find it.
    """

    separator: str | None = None
    header: bool | None = None
    encoding: str = "utf-8"
    text: str | int | None = None
    decimal: str | None = None

    def __post_init__(self) -> None:
        if self.decimal not in (None, ".", ","):
            raise ValueError(f"decimal must be '.' or ','. Received: {self.decimal!r}")


class Row(list):
    """Cells, the names of their columns, and where they stand."""

    __slots__ = ("line", "names", "path")

    def __init__(self, cells, path: Path, line: int, names: list[str] | None = None) -> None:
        super().__init__(cells)
        self.path, self.line, self.names = path, line, names

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}"

    def take(self, columns: list[int]) -> "Row":
        """These columns alone."""
        return Row([self[i] for i in columns], self.path, self.line, [self.names[i] for i in columns])


def read_rows(path: Path, layout: Layout) -> tuple[list[str], list[Row], Layout]:
    """The cells of a file, with spaces stripped.

    Returns:
      Names of the columns ("0", "1", ... without a header, "Unnamed: 0" where the header is empty), rows, and the layout with
      what was found.

    Raises:
      ValueError: another encoding, rows of unequal length, or no row.
    """
    text = _decoded(path, layout.encoding)
    separator = layout.separator or _separator(path, text)
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=separator, quoting=quoting, skipinitialspace=True)
    rows, width = [], None
    try:
        for cells in reader:
            if not any(cells):
                continue
            width = width or len(cells)
            if len(cells) != width:
                raise ValueError(f"{path}, line {reader.line_num}: {len(cells)} cells, where the first row has {width}")
            rows.append(Row([cell.strip() for cell in cells], path, reader.line_num))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise ValueError(f"{path} has no rows")
    header = layout.header if layout.header is not None else _is_header(rows)
    names = named(rows.pop(0)) if header else [str(i) for i in range(width)]
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: two columns have one name. Received: {', '.join(names)}")
    if not rows:
        raise ValueError(f"{path} has no rows after its header. Received: {', '.join(names)}")
    for row in rows:
        row.names = names
    return names, rows, dataclasses.replace(layout, separator=separator, header=header)


def named(header: list[str]) -> list[str]:
    """Names of the columns; "Unnamed: 0" for an empty one, as pandas has it."""
    return [name or f"Unnamed: {i}" for i, name in enumerate(header)]


def row_numbers(names: list[str], rows: list[list[str]]) -> list[int]:
    """Places of unnamed columns with another whole number in each row, as pandas writes its index."""
    unnamed = [i for i, name in enumerate(names) if name.startswith("Unnamed: ")]
    return [i for i in unnamed if _are_distinct_whole([row[i] for row in rows])]


def _are_distinct_whole(cells: list[str]) -> bool:
    return all(cell.isdecimal() for cell in cells) and len(set(cells)) == len(cells)


def _is_header(rows: list[list[str]]) -> bool:
    first, below = rows[0], rows[1] if len(rows) > 1 else rows[0]
    known = [i for i, cell in enumerate(first) if cell]
    if any(i and any(row[i] for row in rows) for i in range(len(first)) if i not in known):
        return False  # a cell is missing, not a name
    if not first[0] and [first[i] for i in known] == [str(i) for i in range(len(known))]:
        return _are_distinct_whole([row[0] for row in rows[1:]])
    return not any(is_value(first[i], below[i]) for i in known)


def column(names: list[str], wanted: str | int, path: Path) -> int:
    """The place of a column given by name or number."""
    if str(wanted) in names:
        return names.index(str(wanted))
    if isinstance(wanted, int) and -len(names) <= wanted < len(names):
        return wanted % len(names)
    raise ValueError(f"{path} has no column {wanted!r}. It has: {', '.join(names)}")


def read_records(path: Path, layout: Layout) -> tuple[list[str], list[Row], Layout]:
    """As `read_rows`; a .jsonl file's keys are its columns."""
    if ".jsonl" not in path.suffixes:
        return read_rows(path, layout)
    names, rows = None, []
    for number, line in enumerate(_decoded(path, layout.encoding).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:  # also an integer of too many digits, and too many brackets
            raise ValueError(f"{path}, line {number} is no JSON that can be read: {error}") from error
        if not isinstance(record, dict) or not record or set(record) != set(names or record):
            keys = f"the keys {names}" if names else "keys"
            raise ValueError(f"{path}, line {number}: each line must be an object with {keys}. Received: {line[:80]}")
        names = names or list(record)
        cells = ("" if record[name] is None else str(record[name]) for name in names)
        rows.append(Row(cells, path, number, names))
    if not rows:
        raise ValueError(f"{path} has no rows")
    return names, rows, layout


def read_texts(path: Path, layout: Layout | None) -> list[str]:
    """One text a line of a .txt, or the column `layout.text` of any other."""
    if layout is None or ".txt" in path.suffixes:
        return [line for line in _decoded(path, "utf-8").splitlines() if line.strip()]
    names, rows, _ = read_records(path, layout)
    place = column(names, layout.text, path)
    return [row[place] for row in rows]


# Of UTF-32 first: its mark begins with that of UTF-16.
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF8: "utf-8-sig",
          codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}  # fmt: skip

_OTHER_KINDS = {b"PK\3\4": "an archive, as Excel and NumPy write", b"PAR1": "a Parquet file", b"%PDF": "a PDF",
                b"\x89PNG": "an image", b"\xff\xd8\xff": "an image", b"SQLite": "a database"}  # fmt: skip


def _decoded(path: Path, encoding: str) -> str:
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} is damaged: {error}. Expected: a whole gzip file") from error
    other = next((kind for start, kind in _OTHER_KINDS.items() if content.startswith(start)), None)
    if other:
        raise ValueError(f"{path} is {other}. Supported: CSV and its like, JSON lines, text, and folders of images")
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), encoding)
    try:
        text = content.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise ValueError(f"{path} is not {encoding} text: {error}. Give its encoding, such as latin-1") from error
    if "\0" in text:
        raise ValueError(f"{path} is no text: it has NUL bytes. If it is UTF-16, give encoding utf-16-le or utf-16-be")
    return text


def _separator(path: Path, text: str) -> str:
    """A tab for .tsv; else what the first ten lines have equally often, though not the comma, which numbers have too; else what
    the first line has most of.
    """
    if ".tsv" in path.suffixes:
        return "\t"
    lines = text.lstrip("\r\n ").split("\n", 10)[:10]
    for mark in ";\t|":
        if len(lines) > 1 and len({line.count(mark) for line in lines if line.strip()}) == 1 and mark in lines[0]:
            return mark
    best = max(",;\t|", key=lines[0].count)
    return best if best in lines[0] else " " if " " in lines[0].strip() else ","
