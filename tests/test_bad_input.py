"""Whatever stands in a file or on the command line: our error or a right answer, never another exception. (hypothesis: the same
examples in each run.)
"""

import contextlib
import csv
import gzip
import io
import json
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainers import Config, load_config
from trainers.data.delimited import Layout, column, read_records, read_texts
from trainers.report import metrics_file
from trainers.runs import checkpoint

settings.register_profile(
    "ours", derandomize=True, max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("ours")

FIELDS = st.sampled_from(
    ["data", "data.name", "model.widths", "optimizer.learning_rate", "epochs", "seed", "batch_size", "nan"]
)
VALUES = st.one_of(
    st.text(max_size=20), st.integers().map(str), st.floats().map(str), st.sampled_from(["None", "(1,", "[]", "{}", "1e999"])
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CELL = st.text(alphabet=string.ascii_letters + string.digits + " ._-\"'é中", max_size=8).map(str.strip)


@given(FIELDS | st.text(max_size=12), VALUES)
def test_an_override(key, value):
    try:
        config = load_config("digits_mlp", [f"{key}={value}"])
    except ValueError:
        return
    assert isinstance(config, Config)
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()


@given(st.one_of(JSON, st.dictionaries(st.sampled_from(["data", "model", "optimizer", "batch_size", "epochs"]), JSON)))
def test_a_saved_config(tmp_path, value):
    for content in (value, {"config": value}):
        (tmp_path / "config.json").write_text(json.dumps(content))
        with contextlib.suppress(ValueError):
            assert isinstance(load_config(str(tmp_path / "config.json")), Config)


@given(st.sampled_from(["t.csv", "t.tsv", "t.jsonl", "t.csv.gz", "t.txt"]), st.binary(max_size=80) | st.text(max_size=80))
def test_a_file_of_rows(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    try:
        names, rows, _ = read_records(file, Layout())
    except ValueError as error:
        assert error.args[0].startswith(str(file))  # noqa: PT017 (not every file is bad)
        return
    assert {len(row) for row in rows} == {len(names)}
    assert len(set(names)) == len(names)
    assert [column(names, name, file) for name in names] == list(range(len(names)))
    for text in (names[0], 0):
        assert all(isinstance(found, str) for found in read_texts(file, Layout(text=text)))


@given(st.sampled_from(["t.csv.gz", "t.jsonl.gz"]), st.binary(max_size=80), st.data())
def test_a_damaged_gzip_file(tmp_path, name, content, data):
    compressed = bytearray(gzip.compress(content, mtime=0))
    place = data.draw(st.integers(0, len(compressed) - 1))
    compressed[place] ^= data.draw(st.integers(1, 255))
    (tmp_path / name).write_bytes(compressed)
    try:
        names, rows, _ = read_records(tmp_path / name, Layout())
    except ValueError as error:
        assert error.args[0].startswith(str(tmp_path / name))  # noqa: PT017 (a flipped flag or time does no harm)
        return
    assert {len(row) for row in rows} == {len(names)}


@given(
    st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=6).filter(lambda rows: any(map(any, rows))),
    st.sampled_from([",", ";", "|"]),
    st.booleans(),
)
def test_what_csv_writes_is_read_back(tmp_path, rows, separator, marked):
    """Python's own writer, with quotes where it needs them, with and without a byte-order mark."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *rows])
    (tmp_path / "t.csv").write_bytes(("\ufeff" * marked + text.getvalue()).encode())
    names, found, _ = read_records(tmp_path / "t.csv", Layout())
    assert names == ["a", "b", "c"]
    assert found == [row for row in rows if any(row)]


@given(
    st.one_of(
        st.binary(max_size=60),
        JSON.map(lambda v: json.dumps(v).encode()),
        JSON.map(lambda v: json.dumps({"files": v}).encode()),
    )
)
def test_a_manifest(tmp_path, content):
    """Nothing that is not what was written passes for good."""
    folder = tmp_path / "0000000001"
    folder.mkdir(exist_ok=True)
    for name in ("state.safetensors", "progress.json"):
        (folder / name).write_bytes(b"{}")
    (folder / "manifest.json").write_bytes(content)
    assert isinstance(checkpoint.damage(folder), str)
    assert checkpoint.newest_good(tmp_path) is None


@given(st.lists(st.one_of(st.binary(max_size=30), st.integers(0, 20).map(lambda s: b'{"step": %d}' % s)), max_size=8))
def test_a_metrics_file_is_cut_back(tmp_path, lines):
    """Half-written and later lines go, the others stay as they are."""

    class Learner:
        class progress:
            step, sums = 10, {}

    path: Path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\n".join(lines))
    metrics_file(path)("start", Learner)
    kept = path.read_bytes().splitlines()
    assert all(json.loads(line)["step"] <= 10 for line in kept)
    whole = [line for line in b"\n".join(lines).splitlines() if line.startswith(b'{"step": ') and line.endswith(b"}")]
    assert kept == [line for line in whole if json.loads(line)["step"] <= 10]


def test_bad_arguments_of_saving():
    with pytest.raises(ValueError, match="checkpoints: keep must be positive. Received: 0"):
        checkpoint.Saving(keep=0)
