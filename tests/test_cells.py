"""What people's files contain: numbers and dates as spreadsheets write them, indices, gaps, other encodings, stray images."""

import json
import locale
import logging
from datetime import datetime, timedelta

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainers.data.cells import date_formats, number_format, read_date, read_number
from trainers.data.delimited import Layout, read_rows
from trainers.data.infer import infer_config
from trainers.data.pipeline import load_data, load_encoder, save_state
from trainers.runs.init_from import init_from

EXAMPLES = settings(derandomize=True, max_examples=200, deadline=None)
N = 60
Y = [("low", "high")[i % 3 == 0] for i in range(N)]


def write(path, columns, *, separator=",", header=True, encoding="utf-8"):
    """A file of these columns; cells with the separator in quotes."""
    names = [list(columns)] if header else []
    rows = [*names, *zip(*columns.values(), strict=True)]
    quoted = [separator.join(f'"{c}"' if separator in str(c) else str(c) for c in row) for row in rows]
    path.write_bytes(("\n".join(quoted) + "\n").encode(encoding))
    return str(path)


def table(path, **options):
    return load_data({"name": "csv", "path": path, "target": "y", "test": 0.0, "validation": 0.0, **options})


def standardised(values):
    values = np.asarray(values, np.float64)
    return (values - values.mean()) / values.std()


# Numbers ----------------------------------------------------------------------------------------------------------------------

VALUES = [1000.25 * (i + 1) * (-1) ** i for i in range(N)]
GERMAN = str.maketrans(".,", ",.")
WRITTEN = {
    "plain": lambda v: str(v),
    "thousands": lambda v: f"{v:,.2f}",
    "decimal comma": lambda v: f"{v:.2f}".translate(GERMAN),
    "both, as in Germany": lambda v: f"{v:,.2f}".translate(GERMAN),
    "spaces, as in France": lambda v: f"{v:,.2f}".translate(str.maketrans(",.", "\u202f,")),
    "apostrophes, as in Switzerland": lambda v: f"{v:,.2f}".replace(",", "'"),
    "dollars": lambda v: f"{'-' * (v < 0)}${abs(v):,.2f}",
    "euros": lambda v: f"{v:,.2f} €".translate(GERMAN),
    "percent": lambda v: f"{v}%",
    "some without a sign": lambda v: f"${v:.2f}" if v > 9000 else f"{v:.2f}",
}


@pytest.mark.parametrize("form", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("separator", [",", ";"])
def test_numbers_as_people_write_them(form, separator, tmp_path):
    path = write(tmp_path / "t.csv", {"v": [form(v) for v in VALUES], "y": Y}, separator=separator)
    data = table(path)
    np.testing.assert_allclose(data.arrays("train").x[:, 0], standardised(VALUES), rtol=0, atol=1e-5)
    save_state(data, tmp_path / "state")
    _, encoder = load_encoder(tmp_path / "state")
    np.testing.assert_array_equal(encoder.encode(encoder.read(tmp_path / "t.csv")), data.arrays("train").x)
    target = load_data({"name": "csv", "path": path, "target": "v", "number": True, "test": 0.0, "validation": 0.0})
    scale = 100 if form is WRITTEN["percent"] else 1
    np.testing.assert_allclose(target.arrays("train").y, np.asarray(VALUES) / scale, rtol=1e-6)
    assert infer_config(path, "v").task.name == "regress"


@EXAMPLES
@given(st.floats(-1e9, 1e9), st.sampled_from([None, *WRITTEN]))
def test_a_number_is_read_back(value, form):
    cell = WRITTEN[form or "plain"](value)
    if "e" in cell:
        return
    wanted = value if form in (None, "plain", "percent") else round(value, 2)
    found = {mark: read_number(cell, mark) for mark in ".,"}
    assert any(v and v[0] == pytest.approx(wanted / (100 if form == "percent" else 1), abs=1e-9) for v in found.values())


@EXAMPLES
@given(st.text(alphabet="0123456789.,'- +$€%eE\u2212\u202f_²٣", max_size=12), st.sampled_from(".,"))
def test_whatever_a_cell_is(cell, mark):
    found = read_number(cell, mark)
    assert found is None or (isinstance(found[0], float) and found[1] in ("", "$", "€", "$€", "€$", "$$", "€€"))


@pytest.mark.parametrize("cell", ["", "-", "$", "1_000", "1,23,4", "12,34.5", "0,123", "5 kg", "1.2.3", "--1", "1e", "²"])
def test_what_is_no_number(cell):
    assert read_number(cell) is None


def test_what_cells_leave_open_is_reported(tmp_path, caplog):
    numbers = [f"{1 + i},{i:03}" for i in range(N)]
    path = write(tmp_path / "t.csv", {"v": numbers, "y": Y})
    assert table(path).encoder.columns[0].mean == pytest.approx(np.mean([1000 * (1 + i) + i for i in range(N)]))
    assert "column 'v': '1,000' is read as 1000; decimal=',' reads it otherwise" in caplog.text
    mean = np.mean([1 + i + i / 1000 for i in range(N)])
    assert table(path, decimal=",").encoder.columns[0].mean == pytest.approx(mean)
    path = write(tmp_path / "europe.csv", {"v": numbers, "y": Y}, separator=";")
    assert table(path).encoder.columns[0].mean == pytest.approx(mean), "a file with semicolons has decimal commas"


def test_a_column_that_was_meant_as_numbers_is_reported(tmp_path, caplog):
    cells = ["n.n.", *[str(i % 40) for i in range(1, N)]]
    days = ["soon", *[f"{time:%Y-%m-%d}" for time in TIMES[1:]]]
    data = table(write(tmp_path / "t.csv", {"v": cells, "w": ["$5", "€6"] * (N // 2), "when": days, "y": Y}))
    assert (
        "column 'v' is not taken for numbers: 1.7% of its cells are none, such as 'n.n.'; na_values lists what means missing"
        in caplog.text
    )
    assert "column 'w' is not taken for numbers: they are written in several ways" in caplog.text
    assert "column 'when' is not taken for dates: 1.7% of its cells are none, such as 'soon'" in caplog.text
    assert [column.name for column in data.encoder.columns] == ["w"]
    assert number_format(["$5", "€6"]) is None


def test_another_currency_is_refused(tmp_path):
    data = table(write(tmp_path / "t.csv", {"v": [f"${i}.50" for i in range(N)], "y": Y}))
    write(tmp_path / "new.csv", {"v": ["$1.50", "€1.50"]})
    with pytest.raises(ValueError, match=r"column 'v' has numbers. Received: '€1.50' in .*new.csv, line 3"):
        data.encode(data.encoder.read(tmp_path / "new.csv"))


# Dates ------------------------------------------------------------------------------------------------------------------------

TIMES = [datetime(2023, 11, 5) + timedelta(days=13 * i, hours=i % 24) for i in range(N)]
STYLES = ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M", "%d.%m.%Y %H:%M", "%m/%d/%Y %H:%M", "%d/%m/%Y %I:%M %p",
          "%d %b %Y %H:%M", "%B %d, %Y %H:%M"]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_dates_become_their_parts(style, tmp_path):
    path = write(tmp_path / "t.csv", {"when": [f"{t:{style}}" for t in TIMES], "y": Y})
    data = table(path)
    parts = {column.part: column for column in data.encoder.columns}
    assert list(parts) == ["year", "month", "weekday", "hour", "days"]
    x = dict(
        zip(parts, np.split(data.arrays("train").x, np.cumsum([c.width for c in parts.values()])[:-1], axis=1), strict=True)
    )
    np.testing.assert_allclose(x["year"][:, 0], standardised([t.year for t in TIMES]), atol=1e-5)
    np.testing.assert_allclose(x["hour"][:, 0], standardised([t.hour for t in TIMES]), atol=1e-5)
    days = [(t - TIMES[0]).total_seconds() / 86400 for t in TIMES]
    np.testing.assert_allclose(x["days"][:, 0], standardised(days), atol=1e-5)
    months = [parts["month"].categories[k] for k in x["month"].argmax(1)]
    assert months == [str(t.month) for t in TIMES]
    weekdays = [parts["weekday"].categories[k] for k in x["weekday"].argmax(1)]
    assert weekdays == [str(t.isoweekday()) for t in TIMES]
    save_state(data, tmp_path / "state")
    _, encoder = load_encoder(tmp_path / "state")
    np.testing.assert_array_equal(encoder.encode(encoder.read(tmp_path / "t.csv")), data.arrays("train").x)
    missing = data.encode([[""]])
    assert np.isfinite(missing).all()
    with pytest.raises(ValueError, match="column 'when' has dates. Received: 'soon' in row 1"):
        data.encode([["soon"]])


@EXAMPLES
@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.sampled_from(STYLES))
def test_a_date_is_read_back(time, style):
    assert locale.setlocale(locale.LC_TIME) == "C", "names of months are those of the locale"
    cell = f"{time:{style}}"
    assert any(read_date(cell, found) == datetime.strptime(cell, style) for found in date_formats([cell]))


def test_day_or_month_first(tmp_path, caplog):
    path = write(tmp_path / "t.csv", {"when": [f"{1 + i % 12:02}/{1 + i % 11:02}/2024" for i in range(N)], "y": Y})
    assert table(path).encoder.columns[0].date == "%m/%d/%Y"
    assert "column 'when': 12/01/2024 is read as 01 December 2024; day_first=True reads it otherwise" in caplog.text
    assert table(path, day_first=True).encoder.columns[0].date == "%d/%m/%Y"
    assert table(path, categorical=("when",)).encoder.columns[0].date is None


def test_dates_as_target_are_refused(tmp_path):
    path = write(tmp_path / "t.csv", {"v": range(N), "y": [f"{t:%Y-%m-%d}" for t in TIMES]})
    with pytest.raises(
        ValueError, match="target 'y' has 60 dates, which are neither classes nor numbers. Give another --target"
    ):
        infer_config(path)


# Headers, gaps, encodings -----------------------------------------------------------------------------------------------------


def test_the_index_that_pandas_writes(tmp_path, caplog):
    caplog.set_level(logging.INFO, "trainers")
    columns = {"v": [i % 7 for i in range(N)], "k": list("abc") * (N // 3), "y": Y}
    plain = table(write(tmp_path / "plain.csv", columns))
    path = write(tmp_path / "pandas.csv", {"": range(N), **columns})
    indexed = table(path)
    assert "column 'Unnamed: 0' is left out: it numbers the rows" in caplog.text
    np.testing.assert_array_equal(indexed.arrays("train").x, plain.arrays("train").x)
    for name in ("plain", "pandas"):
        rows = indexed.encoder.read(tmp_path / f"{name}.csv")
        np.testing.assert_array_equal(indexed.encode(rows), plain.arrays("train").x, err_msg=name)
    assert infer_config(path).data.header is True
    named = write(tmp_path / "index.csv", {"": [f"row {i % 9}" for i in range(N)], **columns})
    assert table(named).encoder.names == ["Unnamed: 0", "v", "k"], "words are no row numbers"
    numbers = write(tmp_path / "array.csv", {"": range(N), "0": range(N), "1": Y})
    names, rows, _ = read_rows(tmp_path / "array.csv", Layout())
    assert (names, len(rows)) == (["Unnamed: 0", "0", "1"], N)
    assert infer_config(numbers, "1").task.name == "classify"


def test_headers(tmp_path):
    for text, names in {
        "a,b,\n1,2,\n3,4,\n": ["a", "b", "Unnamed: 2"],  # a comma at the end of each row
        "x,,z\nu,v,w\n": ["0", "1", "2"],  # a missing cell
        "2024-01-05,u\n2024-01-06,v\n": ["0", "1"],
        "country,2024-01,2024-02\nNorway,1,2\n": ["country", "2024-01", "2024-02"],
        "1,5;2,5;a\n2,5;3,5;b\n": ["0", "1", "2"],  # decimal commas
        "$5,x\n$6,y\n": ["0", "1"],
        "name,5%,95%\nu,1,2\n": ["name", "5%", "95%"],
    }.items():
        (tmp_path / "t.csv").write_text(text)
        assert read_rows(tmp_path / "t.csv", Layout())[0] == names, text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_byte_order_mark_names_the_encoding(encoding, tmp_path):
    columns = {"v": range(N), "k": ["Köln", "Łódź"] * (N // 2), "y": Y}
    path = write(tmp_path / "t.csv", columns)
    wanted = table(path)
    mark = "" if encoding in ("utf-16", "utf-32") else "\ufeff"
    write(tmp_path / "t.csv", {mark + "v": columns["v"], "k": columns["k"], "y": Y}, encoding=encoding)
    found = table(path)
    assert found.encoder.names == ["v", "k"]
    np.testing.assert_array_equal(found.arrays("train").x, wanted.arrays("train").x)
    if encoding == "utf-16-le":
        write(tmp_path / "t.csv", {"v": range(N), "y": Y}, encoding=encoding)
        with pytest.raises(ValueError, match="it has NUL bytes. If it is UTF-16, give encoding utf-16-le or utf-16-be"):
            table(path)


def test_what_is_no_text_is_reported(tmp_path):
    np.savez(tmp_path / "t.npz", x=np.zeros(3))
    with pytest.raises(
        ValueError, match="t.npz is an archive, as Excel and NumPy write. Supported: CSV and its like, JSON lines"
    ):
        infer_config(str(tmp_path / "t.npz"), "y")
    with pytest.raises(ValueError, match="decimal must be '.' or ','. Received: ';'"):
        table(write(tmp_path / "t.csv", {"v": range(N), "y": Y}), decimal=";")


def test_an_encoding_on_the_command_line(tmp_path):
    path = write(tmp_path / "t.csv", {"v": range(N), "k": ["Köln", "Rom"] * (N // 2), "y": Y}, encoding="latin-1")
    config = infer_config(path, "y", ("data.encoding=latin-1", "data.drop=('k',)"))
    assert config.data.encoding == "latin-1"


def test_empty_columns_are_left_out(tmp_path, caplog):
    data = table(write(tmp_path / "t.csv", {"v": range(N), "blank": [""] * N, "unknown": ["NA"] * N, "y": Y}))
    for name in ("blank", "unknown"):
        assert f"column '{name}' is left out: it is empty in the training split" in caplog.text
    assert [column.name for column in data.encoder.columns] == ["v"]
    write(tmp_path / "new.csv", {"v": [1, 2]})
    assert data.encode(data.encoder.read(tmp_path / "new.csv")).shape == (2, 1), "what is left out is not asked for"


def test_what_is_wrong_names_the_line(tmp_path):
    cells = [str(i) for i in range(N)]
    cells[20] = "inf"
    text = "\n\n".join(["v,y", *map(",".join, zip(cells, Y, strict=True))])
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=r"column 'v' must be finite. Received: inf in .*t.csv, line 43"):
        table(str(tmp_path / "t.csv"))
    with pytest.raises(ValueError, match=r"target 'v' must be finite. Received: inf in .*t.csv, line 43"):
        table(str(tmp_path / "t.csv"), target="v", number=True)


def test_a_column_that_is_not_there_is_named(tmp_path):
    columns = {"age": range(N), "job": ["clerk", "nurse"] * (N // 2), "city": ["Rome", "Oslo", "Bern"] * (N // 3), "y": Y}
    data = table(write(tmp_path / "t.csv", columns))
    for lacking, message in {
        ("job",): "new.csv lacks the column 'job'. It has: age, city, y",
        ("job", "city"): "new.csv lacks the columns 'job', 'city'. It has: age, y",
        ("age", "y"): "new.csv lacks the column 'age'. It has: job, city",
    }.items():
        write(tmp_path / "new.csv", {name: cells for name, cells in columns.items() if name not in lacking})
        with pytest.raises(ValueError, match=message):
            data.encoder.read(tmp_path / "new.csv")
    write(tmp_path / "new.csv", {"Alter": [3], "job": ["clerk"], "city": ["Rome"]})
    with pytest.raises(ValueError, match="new.csv lacks the column 'age'. It has: Alter, job, city"):
        data.encoder.read(tmp_path / "new.csv")
    write(tmp_path / "new.csv", {"Alter": [3], "Beruf": ["clerk"], "Ort": ["Rome"]})
    with pytest.raises(ValueError, match="new.csv lacks the columns 'age', 'job', 'city'. It has: Alter, Beruf, Ort"):
        data.encoder.read(tmp_path / "new.csv")


def test_other_data_with_its_columns_in_another_order(tmp_path):
    columns = {"a": range(N), "b": [i % 7 for i in range(N)], "y": Y}
    data = table(write(tmp_path / "t.csv", columns))
    save_state(data, tmp_path / "state")
    path = write(tmp_path / "turned.csv", dict(reversed(columns.items())))
    other = load_data({"name": "csv", "path": path, "target": "y", "test": 0.0, "validation": 0.0}, tmp_path / "state")
    np.testing.assert_array_equal(other.arrays("train").x, data.arrays("train").x)


def test_shared_rows_are_whole_rows(tmp_path, caplog):
    """Two people of one age and job are no leak; the same person twice is."""
    people = {"name": [f"person {i}" for i in range(N)], "age": [i % 2 for i in range(N)], "y": Y}
    for options in ({}, {"drop": ("name",)}):
        table(write(tmp_path / "t.csv", people), test=0.2, **options)
        assert "stand in split" not in caplog.text
    twice = {name: [cell for cell in cells for _ in range(2)] for name, cells in people.items()}
    table(write(tmp_path / "t.csv", {"": range(2 * N), **twice}), test=0.5)
    assert "examples of split test stand in split train too" in caplog.text


def test_state_of_older_runs(tmp_path):
    """data.json as version 0.1.0 wrote it."""
    columns = [{"name": "age", "categories": None, "mean": 30.0, "std": 10.0, "has_missing": True},
               {"name": "when", "categories": ["", "2024-01-01"], "mean": 0.0, "std": 1.0, "has_missing": False}]  # fmt: skip
    layout = {"separator": ",", "header": True, "encoding": "utf-8", "text": None}
    encoder = {"name": "table", "names": ["age", "when"], "na_values": ["", "NA"], "categorical": [], "layout": layout,
               "columns": columns}  # fmt: skip
    spec = {"input_shape": [4], "examples": {"train": 9}, "num_classes": 2, "class_names": ["a", "b"], "class_counts": [4, 5]}
    (tmp_path / "data.json").write_text(json.dumps({"spec": spec, "encoder": encoder}))
    _, encoder = load_encoder(tmp_path)
    write(tmp_path / "new.csv", {"age": [40, "NA"], "when": ["2024-01-01", ""]})
    np.testing.assert_array_equal(encoder.encode(encoder.read(tmp_path / "new.csv")), [[1, 0, 0, 1], [0, 1, 1, 0]])


def test_what_is_inferred_is_reported(tmp_path, caplog):
    caplog.set_level(logging.INFO, "trainers")
    days = [f"{time:%d.%m.%Y}" for time in TIMES]
    columns = {
        "": range(N),
        "price": [f"${i}.5" for i in range(N)],
        "when": days,
        "kind": ["a", "b"] * (N // 2),
        "none": [""] * N,
    }
    for labels, task, told in (
        ([str(i % 3) for i in range(N)], "classify", "target 'y': 3 classes (0 33.3%, 1 33.3%, 2 33.3%)"),
        (["01", "1"] * (N // 2), "classify", "target 'y': 2 classes (01 50.0%, 1 50.0%)"),
        ([f"{i}%" for i in range(N)], "regress", "target 'y': a number from 0 to 0.59 (regression)"),
        ([f"{i},5" for i in range(N)], "regress", "target 'y': a number from 0.5 to 59.5 (regression)"),
        ([f"class {i % 9}" for i in range(N)], "classify", "target 'y': 9 classes"),
    ):
        caplog.clear()
        config = infer_config(write(tmp_path / "t.csv", {**columns, "y": labels}))
        assert config.task.name == task
        for line in (told, "numbers: price", "dates: when", "categories: kind"):
            assert line in caplog.text
        data = load_data(config.data.to_dict())
        assert data.spec.class_names == (tuple(sorted(set(labels))) if task == "classify" else None)


# Nothing to learn -------------------------------------------------------------------------------------------------------------


def test_nothing_to_learn(tmp_path):
    path = write(tmp_path / "t.csv", {"v": range(N), "y": ["same"] * N})
    with pytest.raises(ValueError, match="the target has one class, same: there is nothing to tell apart"):
        table(path)
    path = write(tmp_path / "t.csv", {"v": range(N), "y": [2.5] * N})
    with pytest.raises(ValueError, match="the target is 2.5 in all 60 training examples: there is nothing to learn"):
        table(path, number=True)
    np.savez(tmp_path / "t.npz", x=np.zeros((9, 2)), y=np.zeros(9, int))
    with pytest.raises(ValueError, match="the target has one class, 0"):
        load_data({"name": "npz", "path": str(tmp_path / "t.npz")})
    data = table(write(tmp_path / "t.csv", {"v": range(N), "y": Y}))
    save_state(data, tmp_path)
    path = write(tmp_path / "t.csv", {"v": range(N), "y": ["low"] * N})
    one = load_data({"name": "csv", "path": path, "target": "y", "test": 0.0, "validation": 0.0}, tmp_path)
    assert one.spec.num_classes == 2, "a model of two classes is evaluated on one of them"


def test_texts_without_a_label_are_left_out(tmp_path, caplog):
    texts = [f"a film of {i} words" for i in range(N)]
    texts[3], labels = "", ["", *Y[1:]]
    path = write(tmp_path / "t.tsv", {"text": texts, "label": labels}, separator="\t")
    data = load_data({"name": "text", "path": path})
    assert "2 of 60 rows are left out: 'text' or 'label' is missing" in caplog.text
    assert "stand in split" not in caplog.text, "texts that differ in words which training lacks are different"
    assert (data.spec.class_names, sum(data.spec.examples.values())) == (("high", "low"), N - 2)


# Images -----------------------------------------------------------------------------------------------------------------------


def images(folder, *classes, count=6):
    """Grey images of 4x5 pixels."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(np.full((4, 5), 60 * number, np.uint8)).save(folder / name / f"{i}.png")
    return str(folder)


def photos(path, **options):
    return load_data({"name": "image_folder", "path": path, "channels": 1, "test": 0.0, "validation": 0.0, **options})


def test_hidden_files_and_empty_folders(tmp_path, caplog):
    caplog.set_level(logging.INFO, "trainers")
    path = images(tmp_path / "photos", "cat", "dog")
    for name in ("cat/._0.png", "cat/.DS_Store", "._cat.png", "__MACOSX/cat/._0.png", ".git/a/b.png", "dog/notes.txt"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(b"\0\5\26\7")
    (tmp_path / "photos" / "bird").mkdir()
    Image.new("L", (4, 5)).save(tmp_path / "photos" / "loose.png")
    data = photos(path)
    assert (data.spec.class_names, data.spec.examples) == (("cat", "dog"), {"train": 12})
    assert "no images in bird, which is no class" in caplog.text
    assert "1 images in no class folder are left out" in caplog.text
    assert "1 files that are no images are passed over (.txt)" in caplog.text
    assert infer_config(path).data.size == (4, 5)


def test_all_unreadable_images_are_named(tmp_path, caplog):
    path = images(tmp_path / "photos", "cat", "dog")
    whole = (tmp_path / "photos" / "cat" / "0.png").read_bytes()
    (tmp_path / "photos" / "cat" / "0.png").write_bytes(b"no image")
    (tmp_path / "photos" / "dog" / "3.png").write_bytes(whole[: len(whole) // 2])
    for options in ({}, {"test": 0.3}):
        with pytest.raises(
            ValueError, match=r"2 of 12 images cannot be read; on_bad_image=skip leaves them out: .*cat/0.png, .*3.png"
        ):
            photos(path, **options)
    assert photos(path, on_bad_image="skip").spec.examples == {"train": 10}
    assert "2 of 12 images cannot be read and are left out: " in caplog.text
    assert infer_config(path, None, ("data.on_bad_image=skip",)).data.size == (4, 5)
    with pytest.raises(ValueError, match="on_bad_image must be one of refuse, skip. Received: 'ignore'"):
        photos(path, on_bad_image="ignore")


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_a_pixel(suffix, tmp_path, caplog):
    caplog.set_level(logging.INFO, "trainers")
    images(tmp_path / "photos", "cat", "dog")
    ramp = np.arange(0, 65536, 3277, dtype=np.uint16)[:20].reshape(4, 5)
    for name in ("cat", "dog"):
        for old in (tmp_path / "photos" / name).glob("*"):
            old.unlink()
        for i in range(3):
            Image.fromarray(ramp).save(tmp_path / "photos" / name / f"{i}.{suffix}")
    path = str(tmp_path / "photos")
    data = photos(path)
    np.testing.assert_array_equal(data.arrays("train").x[0, ..., 0], np.round(ramp / 65535 * 255))
    assert "6 images have 16 bits a pixel, which become 8: 65535 is 255" in caplog.text
    np.testing.assert_array_equal(
        data.encoder.encode([tmp_path / "photos" / "cat" / f"0.{suffix}"])[0], data.arrays("train").x[0]
    )
    assert infer_config(path).data.channels == 1


def test_pixels_of_an_unknown_range_are_refused(tmp_path):
    path = images(tmp_path / "photos", "cat", "dog")
    Image.fromarray(np.linspace(0, 1e6, 20, dtype=np.float32).reshape(4, 5)).save(tmp_path / "photos" / "cat" / "0.tif")
    with pytest.raises(
        ValueError, match=r"0.tif is no image that can be read: its pixels are from 0 to 1e\+06 \(mode F\). Supported"
    ):
        photos(path)


def test_nested_folders(tmp_path, caplog):
    path = images(tmp_path / "nested", "animals/cat", "animals/dog", "cars/van")
    assert infer_config(path).data.path == path
    assert photos(path).spec.class_names == ("animals", "cars")
    assert "the classes are animals, cars; folders in or above these, as in animals/cat, do not count" in caplog.text
    assert photos(path, class_level=2).spec.class_names == ("cat", "dog", "van")
    for folder, names in {"wrapped": ("photos/cat", "photos/dog"), "sessions": ("a/cat", "a/dog", "b/cat", "b/dog")}.items():
        path = images(tmp_path / folder, *names)
        with pytest.raises(ValueError, match=f"{folder} has folders in folders: are the classes .*, or cat, dog?"):
            infer_config(path)
        config = infer_config(path, None, ("data.class_level=2",))
        assert load_data(config.data.to_dict()).spec.class_names == ("cat", "dog")
    with pytest.raises(ValueError, match=r"class_level=2 needs every image in so many folders. Received: cat/0.png"):
        photos(images(tmp_path / "flat", "cat", "dog"), class_level=2)


def test_names_of_splits(tmp_path, caplog):
    path = images(tmp_path / "both", "train/cat", "train/dog", "val/cat", "val/dog", "old/cat")
    (tmp_path / "both" / "test").mkdir()
    Image.new("L", (4, 5)).save(tmp_path / "both" / "test" / "unlabelled.png")
    data = photos(path)
    assert data.spec.examples == {"train": 12, "validation": 12}
    assert "has the splits train, validation; old, test beside them is not used" in caplog.text
    assert photos(images(tmp_path / "traffic", "car", "train")).spec.class_names == ("car", "train"), "a class may be trains"


# Weights of a file with layers of one's own -----------------------------------------------------------------------------------


class Scaled(keras.layers.Layer):
    """Not registered, as in most people's code."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")

    def call(self, x):
        return x * self.scale


def test_init_from_a_file_with_custom_layers(tmp_path, caplog):
    caplog.set_level(logging.INFO, "trainers")

    def model(own=True):
        layers = [Scaled(name="mine")] if own else []
        return keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(2, name="head")])

    saved, same = model(), model()
    saved.save(tmp_path / "own.keras")
    init_from(same, str(tmp_path / "own.keras"))
    assert "init_from: 3 of 3 variables" in caplog.text
    np.testing.assert_array_equal(same.predict(np.eye(3), verbose=0), saved.predict(np.eye(3), verbose=0))
    with pytest.raises(
        ValueError, match=r"own.keras cannot be loaded: it has Scaled, which Keras does not know here"
    ) as raised:
        init_from(model(own=False), str(tmp_path / "own.keras"))
    assert len(str(raised.value)) < 400
    keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x)]).save(tmp_path / "lambda.keras")
    with pytest.raises(ValueError, match="lambda.keras cannot be loaded: Requested the deserialization of a `Lambda` layer"):
        init_from(model(own=False), str(tmp_path / "lambda.keras"))
