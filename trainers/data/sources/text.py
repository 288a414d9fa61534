"""Texts and their labels in a file of rows."""

import dataclasses
import logging

import numpy as np

from trainers.data.delimited import Layout, column, read_records
from trainers.data.encoders import TextEncoder
from trainers.data.paths import find_path
from trainers.data.spec import Source, Split
from trainers.data.splitting import complete

log = logging.getLogger("trainers")


def text(
    path: str,
    *,
    target: str | int = "label",
    text: str | int = "text",
    validation: str | float = 0.1,
    test: str | float = 0.1,
    tokenizer: str = "word",
    vocab: int = 10_000,
    max_length: int | None = None,
    lowercase: bool = True,
    separator: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
    split_seed: int = 0,
    data_dir: str | None = None,
) -> Source:
    """A TSV, CSV or JSON-lines file with a column of texts and one of labels, also gzipped.

    Rows without a text or a label are left out.

    Args:
      path: of the file; looked for under the data directory too.
      target, text: name or number of the columns.
      validation, test: another file of the same columns, or the share of rows that is split off, stratified.
      tokenizer: "word", "wordpiece", "bpe" or "char".
      vocab: the most tokens, with padding and unknown.
      max_length: tokens kept of a text; None for what 98% of the training texts need, at most 512.
      lowercase: and strip accents.
      separator, header, encoding: of the file; None finds out.
    """
    layout = Layout(separator=separator, header=header, encoding=encoding, text=text)

    shares = {"validation": validation, "test": test}

    def read(path: str) -> Split:
        file = find_path(path, data_dir)
        names, rows, _ = read_records(file, layout)
        x, y = column(names, text, file), column(names, target, file)
        known = [row for row in rows if row[x] and row[y]]
        if len(known) < len(rows):
            log.warning(
                "%s: %d of %d rows are left out: %r or %r is missing",
                file,
                len(rows) - len(known),
                len(rows),
                names[x],
                names[y],
            )
        if not known:
            raise ValueError(f"{file} has no row whose {names[x]!r} and {names[y]!r} are known")
        return Split([row[x] for row in known], np.asarray([row[y] for row in known]))

    given = {"train": path, **{name: other for name, other in shares.items() if isinstance(other, str)}}
    splits = complete({name: read(path) for name, path in given.items()}, **shares, seed=split_seed, stratify=True)
    return Source(splits, TextEncoder(tokenizer, vocab, max_length, lowercase, dataclasses.asdict(layout)))
