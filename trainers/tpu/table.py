"""The table of docs/tpu.md: what compiles for one v5e and one v6e chip, and in how much memory."""

import importlib.metadata
import logging
from pathlib import Path

import modelzoo
from trainers.config import CONFIG_FOLDERS, Config, find_config, load_config
from trainers.data.spec import Spec
from trainers.files import write_whole
from trainers.tpu.check import GIB, Finding, check, search
from trainers.tpu.chips import parse_tpu
from trainers.tpu.compiling import TooSlow
from trainers.tpu.largest import MOST_EXAMPLES, Largest
from trainers.tpu.shapes import spec_from_shapes

log = logging.getLogger("trainers")

PAGE = Path("docs/tpu.md")
TPUS = ("v5e-1", "v6e-1")
_BEGIN, _END = "<!-- table -->", "<!-- /table -->"
_EMPTY = f"# TPUs\n\n{_BEGIN}\n{_END}\n"
_TINY_BATCH = 128

Row = tuple[str, Config, Spec, int]  # name, config, spec, examples on a chip


def write_table(*, only: str | None, tiny: bool, timeout_s: float, bisect_s: float, page: Path = PAGE) -> None:
    """Add a row for each shipped config whose shapes are known, or each model's smallest instance, to the page's table; a row
    of the same name is replaced. The page is written after each row.

    Args:
      only: one config instead of all.
      bisect_s: for the largest batch of a config, for each chip; 0 for not. A tiny instance is tried at one batch.
    """
    if only and tiny:
        raise ValueError("--tiny is of all registered models; it goes with --all alone")
    if not page.parent.is_dir():
        page.parent.mkdir()
    for name, config, spec, batch in _tiny_rows() if tiny else _config_rows(only):
        cells = [_cell(name, config, spec, batch, tpu, timeout_s, 0.0 if tiny else bisect_s) for tpu in TPUS]
        log.info("%s: %s", name, "; ".join(cells))
        text = page.read_text() if page.is_file() else _EMPTY
        write_whole(page, with_row(text, name, cells).encode())


def with_row(text: str, name: str, cells: list[str]) -> str:
    """The page's text with this row in its table.

    Raises:
      ValueError: a page without the markers.
    """
    if text.count(_BEGIN) != 1 or text.count(_END) != 1:
        raise ValueError(f"{PAGE} must have the lines {_BEGIN} and {_END} once each")
    before, _, rest = text.partition(_BEGIN)
    table, _, after = rest.partition(_END)
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| `")}
    rows[f"`{name}`"] = f"| `{name}` | {' | '.join(cells)} |"
    usable = [f"{tpu.removesuffix('-1')}, of {parse_tpu(tpu).chip.usable_gib} GiB" for tpu in TPUS]
    head = f"| | {' | '.join(usable)} |\n|---|{'---|' * len(TPUS)}\n"
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("libtpu", "jax", "keras"))
    body = "\n".join(rows[key] for key in sorted(rows, key=lambda key: ("tiny" in key, key)))
    return f"{before}{_BEGIN}\n{head}{body}\n\nCompiled with {versions}.\n{_END}{after}"


def _tiny_rows() -> list[Row]:
    rows = []
    for name in modelzoo.list_models(distinct=True):
        arguments = modelzoo.model_info(name).tiny
        config = Config(
            data={"name": "npz"}, model={"name": name, **arguments}, optimizer={"name": "adam"}, batch_size=_TINY_BATCH, steps=1
        )
        rows.append((f"{name}, tiny", config, spec_from_shapes(config), _TINY_BATCH))
    return rows


def _config_rows(only: str | None) -> list[Row]:
    """Configs whose shapes only data would tell are left out, and named."""
    files = [find_config(only)] if only else sorted(file for folder in CONFIG_FOLDERS for file in folder.glob("*.py"))
    rows = []
    for file in files:
        config = load_config(str(file))
        try:
            spec = spec_from_shapes(config)
        except ValueError as error:
            if only:
                raise
            log.info("%s is left out: %s", file.stem, error)
            continue
        rows.append((file.stem, config, spec, config.batch_size))
    return rows


def _cell(name: str, config: Config, spec: Spec, batch: int, tpu: str, timeout_s: float, bisect_s: float) -> str:
    try:
        found = check(config, spec, parse_tpu(tpu), batch, timeout_s=timeout_s)
    except TooSlow:
        return f"not within {timeout_s:g} s"
    if not found.fits and found.wanted is None:
        log.warning("%s on %s: %s", name, tpu, found.error)
        return "does not compile"
    largest = search(config, spec, found, timeout_s=timeout_s, seconds=bisect_s) if bisect_s > 0 else None
    return cell(found, largest)


def cell(found: Finding, largest: Largest | None) -> str:
    """Memory, batch, seconds of compiling; the largest batch where it was looked for."""
    what = "compiles" if found.fits else "does not fit"
    said = f"{what}: {found.wanted / GIB:.2g} GiB at batch {found.step.batch:,}, {found.seconds:.0f} s"
    if largest is None or largest.fits is None:
        return said
    more = " or more" if largest.ended or largest.fits >= MOST_EXAMPLES else ""
    return f"{said}; fits at {largest.fits:,}{more}"
