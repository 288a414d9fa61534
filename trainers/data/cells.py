"""What a cell of a table says: a number as people and spreadsheets write it, or a date."""

import logging
import re
from collections.abc import Collection
from datetime import datetime

log = logging.getLogger("trainers")

_CURRENCIES = "$€£¥₹"
_SIGN = r"[-+\u2212]?"  # the minus sign of typography, too
_GROUPS = {".": r",'\s", ",": r".'\s"}  # what may stand between thousands, by the decimal mark
_NUMBERS = {
    decimal: re.compile(
        rf"({_SIGN})([{_CURRENCIES}]?)\s?({_SIGN})(\d+|[1-9]\d{{0,2}}(?P<group>[{groups}])\d{{3}}(?:(?P=group)\d{{3}})*)?"
        rf"(?:[{decimal}](\d*))?(e[-+]?\d+)?\s?([{_CURRENCIES}%]?)",
        re.IGNORECASE,
    )
    for decimal, groups in _GROUPS.items()
}
_DAYS = ("%Y/%m/%d", "%d.%m.%Y", "%d.%m.%y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%m-%d-%Y", "%d-%m-%Y",
         "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %Y", "%B %Y", "%Y-%m")  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_FORMATS = ("iso", *(day + time for day in _DAYS for time in _TIMES))


def is_number(cell: str) -> bool:
    """Whether `float` reads a cell; "nan" and "inf" are numbers, too. Underscores are no part of a number here."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def read_number(cell: str, decimal: str = ".") -> tuple[float, str] | None:
    """The number in "1,234.5", "$12.30" or "42%" (0.42), and its currency sign or ""; None if it is no number.

    Args:
      decimal: "." or ","; the other one may stand between thousands, as may a space or an apostrophe.
    """
    if is_number(cell) and (decimal == "." or "." not in cell):
        return float(cell), ""
    found = _NUMBERS[decimal].fullmatch(cell)
    if not found:
        return None
    sign, before, inner, whole, group, fraction, exponent, after = found.groups()
    if not (whole or fraction):
        return None
    digits = (whole or "0").replace(group or " ", "")
    signs = (sign + inner).replace("\u2212", "-")
    if len(signs) > 1:
        return None
    value = float(f"{signs}{digits}.{fraction or 0}{exponent or ''}")
    return (value / 100, before) if after == "%" else (value, before + after)


def number_format(cells: Collection[str], decimal: str | None = None, separator: str | None = None) -> tuple[str, str] | None:
    """(decimal mark, currency sign or "") with which all of a column's cells are numbers; None if there is none.

    Where both marks read all of them, as in a column of "1,234", it is `decimal`; else the comma, if `separator` is a
    semicolon and the cells have commas; else the point. Two currencies in one column are no numbers.
    """
    preferred = decimal or ("," if separator == ";" and any("," in cell for cell in cells) else ".")
    for mark in (preferred, *(_GROUPS.keys() - {preferred})):
        signs = set()
        for cell in cells:
            found = read_number(cell, mark)
            if found is None:
                break
            signs.add(found[1])
        else:
            if len(signs - {""}) <= 1:
                return mark, max(signs, default="")
    return None


def warn_of_other_reading(what: str, cells: Collection[str], decimal: str) -> None:
    """Say so if the other decimal mark reads all of the cells too, and one of them as another number."""
    (other,) = _GROUPS.keys() - {decimal}
    if all(map(is_number, cells)) or any(read_number(cell, other) is None for cell in cells):
        return
    cell = next((cell for cell in cells if read_number(cell, other) != read_number(cell, decimal)), None)
    if cell:
        log.warning("%s: %r is read as %g; decimal=%r reads it otherwise", what, cell, read_number(cell, decimal)[0], other)


def read_date(cell: str, style: str) -> datetime | None:
    """A date and time of day, as written (its time zone is left); None if it is not in this style.

    Args:
      style: "iso" (2026-01-31, also with a time), or as `datetime.strptime` takes it.
    """
    try:
        time = datetime.fromisoformat(cell) if style == "iso" else datetime.strptime(cell, style)
    except ValueError:
        return None
    return time.replace(tzinfo=None)


def date_formats(cells: Collection[str]) -> list[str]:
    """The styles in which all of a column's cells are dates; two where it is open whether the day or the month is first."""
    return [style for style in _FORMATS if cells and all(read_date(cell, style) for cell in cells)]


def is_value(cell: str, below: str) -> bool:
    """Whether a cell of the first row is no column's name: a number, a share above another one, or a date above another one in
    the same style.
    """
    if cell.endswith("%") and not below.endswith("%"):
        return False
    if any(read_number(cell, decimal) for decimal in _NUMBERS):
        return True
    return any(read_date(below, style) for style in date_formats([cell]))
