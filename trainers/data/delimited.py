"""Files of rows: CSV, TSV and their like, JSON lines, plain text; also gzipped."""

import csv
import dataclasses
import gzip
import io
import json
import zlib
from pathlib import Path

csv.field_size_limit(2**27)


@dataclasses.dataclass(kw_only=True)
class Layout:
    """How a file of rows is written.

    Attributes:
      separator: between cells; None to find it. Between tabs, quotes are letters like any other.
      header: whether the first row names the columns; None to find out: it does if no cell of it is a number or empty.
      encoding: of the file; a byte-order mark is skipped.
      text: name or number of the column with texts, where there is one.
    """

    separator: str | None = None
    header: bool | None = None
    encoding: str = "utf-8"
    text: str | int | None = None


def read_rows(path: Path, layout: Layout) -> tuple[list[str], list[list[str]], Layout]:
    """The cells of a file, with spaces stripped.

    Returns:
      Names of the columns ("0", "1", ... without a header), rows, and the layout with what was found.

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
            rows.append([cell.strip() for cell in cells])
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise ValueError(f"{path} has no rows")
    header = layout.header if layout.header is not None else not any(cell == "" or is_number(cell) for cell in rows[0])
    names = rows.pop(0) if header else [str(i) for i in range(width)]
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: two columns have one name. Received: {', '.join(names)}")
    if not rows:
        raise ValueError(f"{path} has no rows after its header. Received: {', '.join(names)}")
    return names, rows, dataclasses.replace(layout, separator=separator, header=header)


def column(names: list[str], wanted: str | int, path: Path) -> int:
    """The place of a column given by name or number."""
    if str(wanted) in names:
        return names.index(str(wanted))
    if isinstance(wanted, int) and -len(names) <= wanted < len(names):
        return wanted % len(names)
    raise ValueError(f"{path} has no column {wanted!r}. It has: {', '.join(names)}")


def read_records(path: Path, layout: Layout) -> tuple[list[str], list[list[str]], Layout]:
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
        rows.append([str(record[name]) for name in names])
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


def is_number(cell: str) -> bool:
    """Whether a cell is a number; "nan" and "inf" are, too."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _decoded(path: Path, encoding: str) -> str:
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} is damaged: {error}. Expected: a whole gzip file") from error
    try:
        text = content.decode("utf-8-sig" if encoding.lower().replace("-", "") == "utf8" else encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise ValueError(f"{path} is not {encoding} text: {error}. Give its encoding, such as latin-1") from error
    if "\0" in text:
        raise ValueError(f"{path} is no text: it has NUL bytes")
    return text


def _separator(path: Path, text: str) -> str:
    """The separator that the first line has most of; a tab for .tsv."""
    if ".tsv" in path.suffixes:
        return "\t"
    first = text.lstrip().partition("\n")[0]
    best = max(",;\t|", key=first.count)
    return best if best in first else " " if " " in first.strip() else ","
