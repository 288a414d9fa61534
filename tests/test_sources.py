"""Files of the user's own: tables, texts, image folders, arrays; and what is inferred from them."""

import csv
import gzip
import json

import numpy as np
import pytest
from PIL import Image
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from trainers.data.delimited import Layout, read_rows
from trainers.data.infer import infer_config
from trainers.data.pipeline import load_data, load_encoder, save_state

ROWS = [
    ["age", "job", "city", "income"],
    *[
        [str(20 + i % 30), ("clerk", "nurse", "smith")[i % 3], ("Rome", "Oslo")[i % 2], ("low", "high")[i % 5 > 1]]
        for i in range(60)
    ],
]


def write(path, rows=ROWS, separator=",", encoding="utf-8", compressed=False):
    text = "\n".join(separator.join(row) for row in rows) + "\n"
    path.write_bytes(gzip.compress(text.encode(encoding)) if compressed else text.encode(encoding))
    return str(path)


def table(path, **options):
    return load_data({"name": "csv", "path": path, "target": "income", **options})


def test_a_table_is_encoded_as_scikit_learn_does(tmp_path):
    data = table(write(tmp_path / "people.csv"))
    assert data.spec.examples == {"train": 42, "test": 12, "validation": 6}
    assert data.spec.class_names == ("high", "low")
    raw = np.asarray(ROWS[1:], dtype=object)
    splits = {name: data.arrays(name) for name in data.spec.examples}
    ages = np.concatenate([split.x[:, 0] for split in splits.values()])
    train_ages = np.sort(splits["train"].x[:, 0])
    assert train_ages.mean() == pytest.approx(0, abs=1e-6)
    assert train_ages.std() == pytest.approx(1, abs=1e-5)
    scaler = StandardScaler(with_mean=False, with_std=False).fit(np.zeros((1, 1)))
    scaler.mean_, scaler.scale_ = np.array([data.encoder.columns[0].mean]), np.array([data.encoder.columns[0].std])
    wanted = (raw[:, 0].astype(float) - scaler.mean_[0]) / scaler.scale_[0]
    np.testing.assert_allclose(np.sort(ages), np.sort(wanted), rtol=0, atol=1e-5)
    one_hot = OneHotEncoder(sparse_output=False).fit_transform(raw[:, 1:3])
    np.testing.assert_array_equal(data.encode(raw[:, :3].tolist())[:, 1:], one_hot)


LAYOUTS = {
    "semicolons": dict(separator=";"),
    "tabs": dict(separator="\t"),
    "pipes": dict(separator="|"),
    "byte-order mark": dict(encoding="utf-8-sig"),
    "gzip": dict(compressed=True),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_give_the_same(layout, tmp_path):
    plain = table(write(tmp_path / "plain.csv"))
    other = table(write(tmp_path / "other.csv", **layout))
    assert other.spec == plain.spec
    np.testing.assert_array_equal(other.arrays("train").x, plain.arrays("train").x)


def test_spaces_quotes_and_encodings(tmp_path):
    rows = [[f" {cell} " for cell in row] for row in ROWS]
    assert table(write(tmp_path / "spaces.csv", rows)).spec == table(write(tmp_path / "plain.csv")).spec
    with open(tmp_path / "quoted.csv", "w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a,b", "y"], ['say "hi"', "1"], ["two\nlines", "2"]])
    names, rows, _ = read_rows(tmp_path / "quoted.csv", Layout())
    assert (names, rows) == (["a,b", "y"], [['say "hi"', "1"], ["two\nlines", "2"]])
    latin = [[cell.replace("Rome", "Köln") for cell in row] for row in ROWS]
    path = write(tmp_path / "latin.csv", latin, encoding="latin-1")
    assert table(path, encoding="latin-1").spec.num_classes == 2
    with pytest.raises(ValueError, match="latin.csv is not utf-8 text: .*Give its encoding, such as latin-1"):
        table(path)


def test_without_a_header_columns_have_numbers(tmp_path):
    path = write(tmp_path / "bare.csv", ROWS[1:])
    bare = load_data({"name": "csv", "path": path, "target": 3})
    np.testing.assert_array_equal(bare.arrays("test").x, table(write(tmp_path / "plain.csv")).arrays("test").x)


def test_a_row_like_the_numbers_of_the_columns_is_no_header(tmp_path):
    rows = [["0", "1", "no"], *[[str(i % 7), str(i % 5), ("no", "yes")[i % 2]] for i in range(60)]]
    data = load_data({"name": "csv", "path": write(tmp_path / "bare.csv", rows), "target": 2})
    assert data.encoder.names == ["0", "1"]
    assert data.encoder.read(tmp_path / "bare.csv") == [row[:2] for row in rows]
    named = load_data({"name": "csv", "path": write(tmp_path / "named.csv", rows), "target": 2, "header": True})
    assert named.encoder.read(tmp_path / "named.csv") == [row[:2] for row in rows[1:]]


def test_missing_values(tmp_path, caplog):
    rows = [list(row) for row in ROWS]
    rows[1][0], rows[5][0], rows[7][1], rows[9][3] = "", "unknown", "NA", ""
    data = table(write(tmp_path / "gaps.csv", rows), na_values=("", "NA", "unknown"), test=0.0, validation=0.0)
    assert "1 of 60 rows are left out: their 'income' is missing" in caplog.text
    age, job, city = data.encoder.columns
    assert (age.has_missing, job.categories, city.width) == (True, ["", "clerk", "nurse", "smith"], 2)
    x = data.encode([["", "NA", "Rome"], ["30", "pilot", "Oslo"]])
    assert x[0].tolist() == [0, 1, 1, 0, 0, 0, 0, 1], "missing: the mean, marked; an own category"
    assert x[1, 1:].tolist() == [0, 0, 0, 0, 0, 1, 0], "a category that training did not see is all zeros"


def test_what_looks_like_an_id_or_is_constant_is_told(tmp_path, caplog):
    rows = [["number", "name", "planet", *ROWS[0]], *[[str(i), f"person {i}", "Earth", *row] for i, row in enumerate(ROWS[1:])]]
    data = table(write(tmp_path / "ids.csv", rows))
    assert "'number' looks like an id: another whole number in each row" in caplog.text
    assert "'name' is left out: it looks like an id, 42 texts in 42 rows" in caplog.text
    assert "'planet' is constant in the training split" in caplog.text
    assert [column.name for column in data.encoder.columns] == ["number", "planet", "age", "job", "city"]
    clean = table(str(tmp_path / "ids.csv"), drop=("number", "name", "planet"), categorical=("age",))
    assert [(c.name, c.categories is not None) for c in clean.encoder.columns] == [("age", True), ("job", True), ("city", True)]


def test_a_file_for_each_split(tmp_path):
    paths = [
        write(tmp_path / f"{name}.csv", [ROWS[0], *ROWS[a:b]])
        for name, a, b in (("train", 1, 41), ("val", 41, 51), ("test", 51, 61))
    ]
    data = table(paths[0], validation=paths[1], test=paths[2])
    assert data.spec.examples == {"train": 40, "validation": 10, "test": 10}
    ages = np.array([float(row[0]) for row in ROWS[1:]])
    wanted = (ages[50:] - ages[:40].mean()) / ages[:40].std()
    np.testing.assert_allclose(data.arrays("test").x[:, 0], wanted, rtol=0, atol=1e-5)


def test_a_number_as_target(tmp_path):
    data = load_data({"name": "csv", "path": write(tmp_path / "people.csv"), "target": "age", "number": True})
    train = data.arrays("train").y
    assert (data.spec.num_classes, train.dtype) == (None, np.float32)
    assert data.spec.target_mean == pytest.approx((train.mean(),), rel=1e-6)
    assert data.spec.target_std == pytest.approx((train.std(),), rel=1e-6)


def test_rows_to_predict(tmp_path):
    """With or without the target, in another order, with or without a header."""
    data = table(write(tmp_path / "people.csv"))
    save_state(data, tmp_path / "state")
    _, encoder = load_encoder(tmp_path / "state")
    wanted = data.encode([row[:3] for row in ROWS[1:4]])
    files = {
        "with target": ROWS[:4],
        "without": [row[:3] for row in ROWS[:4]],
        "turned": [row[::-1] for row in ROWS[:4]],
        "no header": [row[:3] for row in ROWS[1:4]],
    }
    for name, rows in files.items():
        path = tmp_path / f"{name}.csv"
        write(path, rows)
        np.testing.assert_array_equal(encoder.encode(encoder.read(path)), wanted, err_msg=name)
    write(tmp_path / "header.csv", ROWS[:1])
    with pytest.raises(ValueError, match="header.csv has no rows after its header. Received: age, job, city, income"):
        encoder.read(tmp_path / "header.csv")
    with pytest.raises(ValueError, match="there must be a row or more, with the cells age, job, city. Received: none"):
        encoder.encode([])
    write(tmp_path / "other.csv", [["a", "b"], ["1", "2"]])
    with pytest.raises(ValueError, match="other.csv must have the columns age, job, city. It has: a, b"):
        encoder.read(tmp_path / "other.csv")
    write(tmp_path / "words.csv", [["age", "job", "city"], ["old", "clerk", "Rome"]])
    with pytest.raises(ValueError, match="column 'age' has numbers. Received: 'old' in .*words.csv, line 2"):
        encoder.encode(encoder.read(tmp_path / "words.csv"))


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (ROWS, {"target": "wage"}, "people.csv has no column 'wage'. It has: age, job, city, income"),
        (ROWS, {"target": 9}, "has no column 9"),
        ([*ROWS, ["1", "2"]], {}, "people.csv, line 62: 2 cells, where the first row has 4"),
        ([*ROWS, ["1", "clerk", "Oslo", "middle"]], {}, "two examples or more. Received: one of 'middle'"),
        ([*ROWS, ["inf", "clerk", "Oslo", "low"]], {"test": 0.0}, "column 'age' must be finite. Received: inf"),
        (ROWS[:1], {}, "people.csv has no rows after its header. Received: age, job, city, income"),
        ([], {}, "people.csv has no rows"),
        (ROWS, {"test": 1.5}, "test must be a share from 0 to 1. Received: 1.5"),
        (ROWS[:4], {"target": "age", "number": True, "test": 0.1}, "3 examples are too few for a test part of 10%"),
        (ROWS, {"number": True}, "target 'income' must be a number. Received: 'low'"),
        ([["a", "a"], ["1", "2"]], {"target": "a"}, "two columns have one name"),
        (ROWS, {"targt": 1}, r"unexpected keyword argument 'targt'. It is csv\(path"),
    ],
)
def test_bad_tables_are_told(rows, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        table(write(tmp_path / "people.csv", rows), **options)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="no such file or folder: nowhere.csv or /data/nowhere.csv"):
        load_data({"name": "csv", "path": "nowhere.csv", "target": 1}, data_dir="/data")


TEXTS = [("a fine film indeed", "good"), ("a dull film indeed", "bad")] * 20


@pytest.mark.parametrize("tokenizer", ["word", "wordpiece", "bpe", "char"])
def test_texts_become_ids(tokenizer, tmp_path):
    path = write(tmp_path / "reviews.tsv", [["text", "label"], *map(list, TEXTS)], separator="\t")
    data = load_data({"name": "text", "path": path, "tokenizer": tokenizer, "vocab": 60, "validation": 0.25})
    assert data.spec.class_names == ("bad", "good")
    assert data.spec.vocab_size <= 60
    x = data.arrays("train").x
    assert (x.dtype, x.shape[1:]) == (np.int32, data.spec.input_shape)
    assert 0 <= x.min() <= x.max() < data.spec.vocab_size
    same, unknown = data.encode(["A FINE film indeed", "a fine film indeed"]), data.encode(["ωωω"])
    assert same[0].tolist() == same[1].tolist()
    assert 1 in unknown[0]
    save_state(data, tmp_path / "state")
    _, encoder = load_encoder(tmp_path / "state")
    np.testing.assert_array_equal(encoder.encode([text for text, _ in TEXTS]), data.encode([text for text, _ in TEXTS]))
    (tmp_path / "new.txt").write_text("a fine film\n\na dull film\n")
    assert encoder.read(tmp_path / "new.txt") == ["a fine film", "a dull film"]
    assert encoder.read(tmp_path / "reviews.tsv") == [text for text, _ in TEXTS]


def test_the_vocabulary_is_of_the_training_split_alone_and_always_the_same(tmp_path):
    rows = [["text", "label"], *[[f"word{i} common", "ab"[i % 2]] for i in range(40)]]
    data = [load_data({"name": "text", "path": write(tmp_path / "t.tsv", rows, "\t"), "test": 0.5}) for _ in range(2)]
    assert data[0].encoder.state == data[1].encoder.state
    assert data[0].spec.vocab_size == 2 + 1 + data[0].spec.examples["train"]
    assert np.all((data[0].arrays("test").x == 1).sum(1) == 1), "a word that training did not have is unknown"


def test_what_cannot_be_read_names_the_file(tmp_path):
    content = bytearray(gzip.compress("\n".join(",".join(row) for row in ROWS).encode()))
    content[20] ^= 0xFF
    (tmp_path / "t.csv.gz").write_bytes(content)
    with pytest.raises(ValueError, match="t.csv.gz is damaged: .*Expected: a whole gzip file"):
        table(str(tmp_path / "t.csv.gz"))
    for cell in ("[" * 100_000, "9" * 5000):
        (tmp_path / "bad.jsonl").write_text('{"text": "a", "label": 1}\n{"text": "b", "label": ' + cell + "}\n")
        with pytest.raises(ValueError, match="bad.jsonl, line 2 is no JSON that can be read"):
            load_data({"name": "text", "path": str(tmp_path / "bad.jsonl")})


def test_chinese_and_json_lines(tmp_path):
    lines = [
        json.dumps({"label": label, "text": text}, ensure_ascii=False)
        for text, label in [("我喜欢学习", "好"), ("天气很坏", "坏")] * 10
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    data = load_data({"name": "text", "path": str(tmp_path / "t.jsonl")})
    assert data.spec.class_names == ("坏", "好")
    assert (data.encode(["我喜欢学习"])[0, :5] > 1).all(), "each character is a word"
    (tmp_path / "bad.jsonl").write_text('{"text": "a", "label": 1}\n{"text": "b"}\n')
    with pytest.raises(ValueError, match=r"bad.jsonl, line 2: each line must be an object with the keys \['text', 'label'\]"):
        load_data({"name": "text", "path": str(tmp_path / "bad.jsonl")})
    (tmp_path / "bad.jsonl").write_text("{text}\n")
    with pytest.raises(ValueError, match="bad.jsonl, line 1 is no JSON"):
        load_data({"name": "text", "path": str(tmp_path / "bad.jsonl")})


def test_real_chinese_texts(real_data, tmp_path):
    """Which language is a sentence of? The real pairs, Chinese labelled zh."""
    lines = gzip.decompress((real_data / "tatoeba_eng_cmn" / "cmn.txt.gz").read_bytes()).decode().splitlines()[5000:5300]
    rows = [["text", "label"]]
    for line in lines:
        english, chinese, _ = line.split("\t")
        rows += [[english, "en"], [chinese, "zh"]]
    data = load_data({"name": "text", "path": write(tmp_path / "t.tsv", rows, "\t"), "vocab": 500})
    known = (data.arrays("test").x > 1).sum() / (data.arrays("test").x > 0).sum()
    assert known > 0.7, "most characters and words of the test texts are in the vocabulary"


@pytest.fixture
def folder(tmp_path):
    """Red and blue squares of 6x5 pixels, 10 each."""
    for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (5, 6), colour).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


def test_an_image_folder(folder):
    data = load_data({"name": "image_folder", "path": str(folder)})
    assert data.spec.examples == {"train": 14, "test": 4, "validation": 2}
    assert (data.spec.input_shape, data.spec.class_names) == ((6, 5, 3), ("blue", "red"))
    for split in data.spec.examples:
        arrays = data.arrays(split)
        assert np.all(arrays.x[:, 0, 0, 0] == 255 * arrays.y)
    resized = load_data({"name": "image_folder", "path": str(folder), "size": (4, 4), "channels": 1})
    assert resized.spec.input_shape == (4, 4, 1)
    np.testing.assert_allclose(np.unique(resized.arrays("train").x), [29, 76])  # luma of blue and of red (ITU-R 601)
    encoder = data.encoder
    assert encoder.encode(encoder.read(folder / "red" / "0.png"))[0, 0, 0].tolist() == [255, 0, 0]


def test_an_image_folder_with_splits_of_its_own(folder, tmp_path):
    for split in ("train", "test"):
        (tmp_path / "both" / split).mkdir(parents=True)
        for kind in ("red", "blue"):
            (tmp_path / "both" / split / kind).symlink_to(folder / kind)
    data = load_data({"name": "image_folder", "path": str(tmp_path / "both"), "validation": 0.2})
    assert data.spec.examples == {"train": 16, "test": 20, "validation": 4}


def test_bad_image_folders_are_told(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty has no images. Expected: one folder for each class"):
        load_data({"name": "image_folder", "path": str(tmp_path / "empty")})
    (folder / "red" / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="broken.png is no image that can be read"):
        load_data({"name": "image_folder", "path": str(folder)})


def test_arrays_in_a_file(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 2, (40, 5)), np.arange(40) % 4 + 3
    np.savez(tmp_path / "one.npz", x=x, y=y)
    data = load_data({"name": "npz", "path": str(tmp_path / "one.npz"), "standardize": True})
    assert data.spec.class_names == ("3", "4", "5", "6")
    assert sorted(set(data.arrays("train").y)) == [0, 1, 2, 3]
    np.testing.assert_allclose(data.arrays("train").x.mean(0), 0, atol=1e-5)
    images = rng.integers(0, 255, (12, 7, 7)).astype(np.uint8)
    np.savez(tmp_path / "two.npz", x_train=images, y_train=np.arange(12) % 2, x_test=images[:4], y_test=np.arange(4) % 2)
    data = load_data({"name": "npz", "path": str(tmp_path / "two.npz"), "validation": 0.0})
    assert (data.spec.input_shape, data.spec.examples) == ((7, 7, 1), {"train": 12, "test": 4})
    np.savez(tmp_path / "numbers.npz", x=x, y=rng.normal(size=(40, 2)))
    data = load_data({"name": "npz", "path": str(tmp_path / "numbers.npz"), "number": True})
    assert len(data.spec.target_mean) == 2
    np.savez(tmp_path / "floats.npz", x=x, y=np.arange(40) % 2 * 1.0)
    assert load_data({"name": "npz", "path": str(tmp_path / "floats.npz")}).spec.class_names == ("0.0", "1.0")


def test_bad_arrays_are_told(tmp_path):
    np.savez(tmp_path / "pickled.npz", x=np.array([{}, 1], dtype=object), y=np.zeros(2))
    with pytest.raises(ValueError, match="pickled.npz is no .npz of plain arrays: .*allow_pickle"):
        load_data({"name": "npz", "path": str(tmp_path / "pickled.npz")})
    np.savez(tmp_path / "unequal.npz", x=np.zeros(3), y=np.zeros(2))
    with pytest.raises(ValueError, match="must have as many rows, one or more. Received: 3 and 2"):
        load_data({"name": "npz", "path": str(tmp_path / "unequal.npz")})
    np.savez(tmp_path / "named.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="must have arrays x and y, or x_train and y_train. It has: a"):
        load_data({"name": "npz", "path": str(tmp_path / "named.npz")})
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match="text.npz is no .npz of plain arrays"):
        load_data({"name": "npz", "path": str(tmp_path / "text.npz")})


def test_a_table_is_inferred(tmp_path, caplog):
    caplog.set_level("INFO", "trainers")
    path = write(tmp_path / "people.csv", separator=";")
    config = infer_config(path, "income")
    assert (config.data.to_dict(), config.model.name, config.task.name) == (
        {"name": "csv", "path": path, "target": "income", "separator": ";", "header": True, "number": False}, "mlp", "classify",
    )  # fmt: skip
    assert "target 'income': 2 classes (high 60.0%, low 40.0%)" in caplog.text
    assert "numbers: age" in caplog.text
    assert "categories: job, city" in caplog.text
    assert infer_config(path, "age", ("epochs=3",)).task.name == "regress"
    assert infer_config(write(tmp_path / "bare.csv", ROWS[1:]), "3").data.target == "3"
    with pytest.raises(ValueError, match="give --target, the column to predict. .*people.csv has: age, job, city, income"):
        infer_config(path)


def test_texts_are_inferred(tmp_path):
    path = write(
        tmp_path / "reviews.tsv",
        [["review", "label"], *[[f"{text} number {i}", label] for i, (text, label) in enumerate(TEXTS)]],
        "\t",
    )
    config = infer_config(path)
    assert (config.data.name, config.data.text, config.data.target, config.model.name) == (
        "text",
        "review",
        "label",
        "transformer",
    )


def test_an_image_folder_is_inferred(folder):
    config = infer_config(str(folder), None, ("batch_size=4",))
    assert (config.data.name, config.data.size, config.data.channels, config.batch_size) == ("image_folder", (6, 5), 3, 4)
    with pytest.raises(ValueError, match="has no images"):
        infer_config(str(folder / "red"))
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        infer_config(str(folder / "green"))


def test_images_are_read_when_needed_as_they_are_in_memory(tmp_path):
    """PNG and JPEG in C++, others and 16 bits by Pillow: the pixels that predicting reads, within 2 where sizes differ."""
    rng = np.random.default_rng(0)
    for kind in ("a", "b"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for i in range(6):
            image = Image.fromarray(rng.integers(0, 256, (9, 7, 3)).astype(np.uint8)).resize((12, 10))
            changed = {0: image.convert("L"), 1: image.convert("P"), 2: image.convert("RGBA"), 3: image, 4: image, 5: image}[i]
            changed.save(tmp_path / "photos" / kind / f"{i}.{('png', 'png', 'png', 'jpg', 'bmp', 'png')[i]}")
    for options in ({}, {"channels": 1, "validation": 0.0, "test": 0.0}, {"size": (5, 6), "channels": 4}):
        config = {"name": "image_folder", "path": str(tmp_path / "photos"), "validation": 0.2, **options}
        kept, read = load_data(config), load_data({**config, "in_memory": False})
        assert (read.spec, read.arrays("train")) == (kept.spec, None)
        assert read.spec.class_counts == tuple(np.bincount(kept.arrays("train").y).tolist())
        batches = [data.batches("train", 5, training=True, seed=1).take(4).as_numpy_iterator() for data in (kept, read)]
        for a, b in zip(*batches, strict=True):
            np.testing.assert_allclose(b["x"], a["x"].astype(int), rtol=0, atol=2 if "size" in options else 0)
            np.testing.assert_array_equal(b["y"], a["y"])
            np.testing.assert_array_equal(b["w"], a["w"])
