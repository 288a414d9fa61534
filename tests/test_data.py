"""From a config's data to batches."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import array_data
from sklearn.datasets import load_breast_cancer, load_digits

from trainers.data.adapt import as_data
from trainers.data.encoders import ArrayEncoder, ImageEncoder
from trainers.data.pipeline import Data, load_data, load_encoder, save_state
from trainers.data.sources.tfds import tfds
from trainers.data.spec import Spec, Split, Stream


def collected(data: Data, split: str, batch_size: int, steps: int | None = None, **options) -> list[dict]:
    dataset = data.batches(split, batch_size, **{"training": False, **options})
    return list(dataset.take(steps if steps is not None else data.steps(split, batch_size)).as_numpy_iterator())


def numbered(size: int, streamed: bool = False, augment: dict | None = None) -> Data:
    """Example i is an image of value i with the label i."""
    x = np.repeat(np.arange(size, dtype=np.float32), 16).reshape(size, 4, 4, 1)
    split = Split(x, np.arange(size, dtype=np.int32))
    if streamed:
        split = Stream(tf.data.Dataset.from_tensor_slices({"x": split.x, "y": split.y}), size, window=8)
    return Data(Spec(input_shape=(4, 4, 1), examples={"train": size}), {"train": split}, ArrayEncoder(), augment)


@pytest.mark.parametrize("streamed", [False, True])
def test_every_example_once_an_epoch_and_static_shapes(streamed):
    data = numbered(21, streamed)
    assert data.batches("train", 8, training=True).element_spec["x"].shape == (8, 4, 4, 1)
    for training in (False, True):
        batches = collected(data, "train", 8, 3, training=training, seed=1)
        seen = np.concatenate([b["y"][b["w"] > 0] for b in batches])
        assert sorted(seen) == list(range(21))
        assert (list(seen) == list(range(21))) is not training
        np.testing.assert_array_equal(batches[2]["y"][5:], batches[2]["y"][[0, 1, 2]])
    epochs = collected(data, "train", 8, 6, training=True, seed=1)
    assert not np.array_equal(epochs[0]["y"], epochs[3]["y"])


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("augment", [None, {"crop": 1, "flip": True}])
def test_batches_are_the_same_wherever_one_starts(streamed, augment):
    whole = collected(numbered(21, streamed, augment), "train", 8, 9, training=True, seed=2)
    for start in (1, 3, 7):
        part = collected(numbered(21, streamed, augment), "train", 8, 9 - start, training=True, seed=2, start_step=start)
        for a, b in zip(whole[start:], part, strict=True):
            for key in a:
                np.testing.assert_array_equal(a[key], b[key])


def test_augmentation_belongs_to_the_example_and_only_to_training():
    """Another batch size, other neighbours: the same crop of the same example in the same epoch."""
    crops = []
    for batch_size in (7, 21):
        batches = collected(numbered(21, augment={"crop": 2}), "train", batch_size, 21 // batch_size, training=True, seed=3)
        crops.append({int(y): x for b in batches for x, y in zip(b["x"], b["y"], strict=True)})
    assert any(not np.all(x == x[0, 0]) for x in crops[0].values())
    for label, image in crops[0].items():
        np.testing.assert_array_equal(image, crops[1][label])
    assert all(np.all(b["x"] == b["y"][:, None, None, None]) for b in collected(numbered(21, augment={"crop": 2}), "train", 7))


def test_images_become_numbers_from_0_to_1_and_other_bytes_stay():
    data = array_data(np.full((4, 2, 2, 1), 255, np.uint8), np.zeros(4, np.int32), num_classes=2)
    for encoder, largest in ((ImageEncoder((2, 2, 1)), 1.0), (ArrayEncoder(), 255.0)):
        data.encoder = encoder
        (batch,) = collected(data, "train", 4)
        x = data.as_float(batch["x"])
        assert (batch["x"].dtype, x.dtype, np.max(x)) == (np.uint8, np.float32, largest), "bytes until the compiled step"


def test_weights_of_examples_enter_the_batch():
    data = array_data(np.zeros((3, 2)), np.zeros(3, np.int32), np.array([0.5, 2.0, 1.0]), num_classes=2)
    assert [b["w"].tolist() for b in collected(data, "train", 2)] == [[0.5, 2.0], [1.0, 0.0]]


def test_digits_are_those_of_scikit_learn(data_dir):
    data = load_data({"name": "digits"}, data_dir=data_dir)
    assert data.spec.examples == {"train": 1293, "validation": 144, "test": 360}
    assert (data.spec.input_shape, data.spec.num_classes) == ((8, 8, 1), 10)
    splits = [data.arrays(name) for name in data.spec.examples]
    found = sorted((int(y), *(x.ravel() // 15).tolist()) for split in splits for x, y in zip(split.x, split.y, strict=True))
    images, labels = load_digits(return_X_y=True)
    assert found == sorted((int(y), *x.astype(int).tolist()) for x, y in zip(images, labels, strict=True))
    assert np.bincount(data.arrays("test").y).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]


def test_breast_cancer_is_standardised_by_the_training_split(data_dir):
    data = load_data({"name": "breast_cancer", "standardize": True}, data_dir=data_dir)
    raw = load_data({"name": "breast_cancer"}, data_dir=data_dir)
    train = raw.arrays("train").x.astype(np.float64)
    wanted = (raw.arrays("test").x - train.mean(0)) / train.std(0)
    np.testing.assert_allclose(data.arrays("test").x, wanted, rtol=0, atol=1e-4)
    rows = np.concatenate([raw.arrays(name).x for name in raw.spec.examples])
    np.testing.assert_allclose(np.sort(rows, 0), np.sort(load_breast_cancer(return_X_y=True)[0], 0).astype(np.float32))
    assert data.spec.class_names == ("malignant", "benign")


def test_split_syntax_and_streaming_of_tfds(data_dir):
    options = {"train": "train[:50%]", "validation": "train[50%:60%]", "test": "test[:20]"}
    kept, streamed = (load_data({"name": "digits", **options, "in_memory": m}, data_dir=data_dir) for m in (True, False))
    assert kept.spec.examples == streamed.spec.examples == {"train": 718, "validation": 144, "test": 20}
    assert streamed.arrays("train") is None
    stream = tfds("digits", in_memory=False, data_dir=data_dir).splits["train"]
    assert stream.dataset.element_spec["image"].dtype == tf.string, "what is skipped is not decoded"
    for a, b in zip(collected(kept, "test", 8), collected(streamed, "test", 8), strict=True):
        np.testing.assert_array_equal(a["x"], b["x"])
        np.testing.assert_array_equal(a["y"], b["y"])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "digitz"}, "unknown data set 'digitz'.*digits"),
        ({"name": "digits", "tran": "x"}, r"unexpected keyword argument 'tran'. It is digits\(name: str, \*, train"),
        ({"name": "digits", "train": "training", "validation": "test", "test": "test"}, "no split 'training'. It has: "),
        ({"name": "digits", "train": "train[:0]", "validation": "test", "test": "test"}, "split 'train.:0.' .* is empty"),
        ({"name": "digits", "train": "train[:50%]"}, "say which part is validation"),
        (
            {"name": "digits", "x": "picture"},
            "needs x and y, names of features. Received: picture and label. It has: image, label",
        ),
        ({"name": "digits", "augment": {"blur": 3}}, "unknown augmentation 'blur'"),
        ({"name": "no_such_module:data"}, "data source 'no_such_module:data': No module named"),
    ],
)
def test_bad_data_is_told(config, message, data_dir):
    with pytest.raises(ValueError, match=message):
        load_data(config, data_dir=data_dir)


def test_a_set_that_is_not_prepared_needs_a_network(data_dir, monkeypatch):
    """The probe fails fast, where tfds would retry for minutes."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"data set 'kmnist' is not prepared in .* and cannot be downloaded"):
        load_data({"name": "kmnist"}, data_dir=data_dir)


def own_source(*, labels=(0, 1, 2), dtype="int32", bad=False):
    """A source of the user's own: splits of (x, y)."""
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    x[4, 1] = np.nan if bad else 0
    y = np.resize(labels, 6).astype(dtype)
    return {"train": (x, y), "test": (x[:3], y[:3])}


def test_sources_of_the_users_own():
    data = load_data({"name": "test_data:own_source"})
    assert (data.spec.num_classes, data.spec.examples) == (3, {"train": 6, "test": 3})
    numbers = load_data({"name": "test_data:own_source", "dtype": "float32", "labels": (1.0, 3.0)})
    assert (numbers.spec.num_classes, numbers.spec.target_mean, numbers.spec.target_std) == (None, (2.0,), (1.0,))
    with pytest.raises(ValueError, match=r"x of split 'train' must be finite. Received: nan in example 4"):
        load_data({"name": "test_data:own_source", "bad": True})
    with pytest.raises(ValueError, match=r"y of split 'train' must be finite. Received: inf"):
        load_data({"name": "test_data:own_source", "dtype": "float32", "labels": (1.0, np.inf)})


def test_rows_that_stand_in_two_splits_are_told(caplog):
    load_data({"name": "test_data:own_source"})
    assert "3 of 3 examples of split test stand in split train too" in caplog.text


def test_what_was_fitted_is_kept(data_dir, tmp_path):
    config = {"name": "breast_cancer", "standardize": True}
    data = load_data(config, data_dir=data_dir)
    save_state(data, tmp_path)
    spec, encoder = load_encoder(tmp_path)
    assert spec == data.spec
    row = load_data({"name": "breast_cancer"}, data_dir=data_dir).arrays("test").x[:2]
    np.testing.assert_array_equal(encoder.encode(row), data.arrays("test").x[:2])
    other = load_data({**config, "train": "test[:50%]", "validation": "test[50%:]", "test": "train"}, tmp_path, data_dir)
    assert other.encoder.mean == data.encoder.mean, "read from the folder, not fitted anew"


ARRAYS = (np.arange(20.0).reshape(10, 2), np.arange(10) % 3, np.linspace(0, 1, 10))


@pytest.mark.parametrize(
    "given",
    [
        ARRAYS,
        {"x": ARRAYS[0], "y": ARRAYS[1], "w": ARRAYS[2]},
        tf.data.Dataset.from_tensor_slices(ARRAYS).batch(4),
        tf.data.Dataset.from_tensor_slices({"x": ARRAYS[0], "y": ARRAYS[1][:, None], "w": ARRAYS[2]}).batch(4),
    ],
)
def test_what_fit_accepts(given):
    data = as_data({"train": given})
    batches = collected(data, "train", 4)
    assert data.steps("train", 4) == 3
    np.testing.assert_allclose(np.concatenate([b["x"] for b in batches])[:10], ARRAYS[0])
    np.testing.assert_allclose(np.concatenate([b["w"] for b in batches]), [*ARRAYS[2], 0, 0], atol=1e-6)
    assert np.concatenate([b["y"] for b in batches])[:10].tolist() == ARRAYS[1].tolist()
    assert len(collected(data, "train", 5)) == 2, "batches of another size, for evaluation"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (7, "give .x, y., .x, y, w., .* Received: int"),
        ((ARRAYS[0], ARRAYS[1][:5]), r"must have one length, one or more. Received: \[5, 10\]"),
        ((ARRAYS[0][:0], ARRAYS[1][:0]), "one or more"),
        (tf.data.Dataset.from_tensor_slices(ARRAYS), "a dataset must give batches"),
        (tf.data.Dataset.from_tensor_slices(ARRAYS).batch(4).repeat(), "batches that do not end need steps"),
        (tf.data.Dataset.from_tensor_slices(ARRAYS).batch(4).take(0), "is empty"),
    ],
)
def test_what_fit_does_not_accept(given, message):
    with pytest.raises(ValueError, match=message):
        as_data({"train": given})
