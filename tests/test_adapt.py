"""What `keras.Model.fit` takes becomes data: numbers are kept, weights are not broadcast, batches of every kind."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers.data.adapt import as_data

X = np.arange(12.0).reshape(4, 3)


def split(*given, **options):
    return as_data({"train": given}, **options).arrays("train")


def test_integers_never_wrap():
    wide = np.array([1, 2, 3, 3_000_000_000])
    found = split(wide[:, None] * 1000, wide)
    np.testing.assert_array_equal(found.y, wide)
    np.testing.assert_array_equal(found.x[:, 0], wide * 1000)
    assert split(X, [1, 2, 3, 4]).y.dtype == np.int32
    np.testing.assert_array_equal(split(X, np.array([1, 2, 3, 2**31], np.uint32)).y, [1, 2, 3, 2**31])
    assert split(X.astype(np.uint8), np.ones(4)).x.dtype == np.uint8


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_weights_of_examples_are_one_column(shape):
    assert split(X, np.ones((4, 1)), np.ones(shape)).w.shape == (4,)


def test_nests_of_every_kind():
    y = {"a": np.ones((4, 5, 2)), "b": np.ones((4, 1))}
    found = split([X, X.astype(np.float32)], y, {"a": np.ones((4, 5)), "b": np.ones((4, 1))})
    assert [a.dtype for a in found.x] == [np.float32] * 2
    assert tf.nest.map_structure(lambda a: a.shape, (found.y, found.w)) == (
        {"a": (4, 5, 2), "b": (4,)},
        {"a": (4, 5), "b": (4,)},
    )
    alone = as_data({"train": X})
    assert alone.spec.examples == {"train": 4}
    assert alone.arrays("train").y == ()


def test_text_labels_become_class_numbers():
    data = as_data({"train": (X, ["dog", "cat", "dog", "eel"]), "validation": (X[:2], np.array([b"eel", b"cat"]))})
    assert data.spec.class_names == ("cat", "dog", "eel")
    np.testing.assert_array_equal(data.arrays("train").y, [1, 0, 1, 2])
    np.testing.assert_array_equal(data.arrays("validation").y, [2, 0])
    later = as_data({"train": (X[:2], ["eel", "dog"])}, class_names=data.spec.class_names)
    np.testing.assert_array_equal(later.arrays("train").y, [2, 1])


class Files(keras.utils.PyDataset):
    """Batches of 2, 2 and 1 examples."""

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return X[2 * i : 2 * i + 2] if i < 2 else X[:1], np.full(2 if i < 2 else 1, i)


def rows(data, batch_size: int) -> list:
    return [
        row for b in data.batches("train", batch_size, training=False) for row in b["y"].numpy()[b["w"].numpy() > 0].tolist()
    ]


def test_batches_that_somebody_else_makes():
    data = as_data({"train": Files()})
    assert (data.spec.examples, data.own_batch_size("train"), rows(data, 2)) == ({"train": 5}, 2, [0, 0, 1, 1, 2])
    endless = ((X, np.full(4, i)) for i in itertools.count())
    data = as_data({"train": endless}, steps=3)
    assert data.steps("train", 4) == 3
    np.testing.assert_array_equal(data.first(2)["y"], [0, 0])
    first = next(iter(data.batches("train", 4, training=False)))
    np.testing.assert_array_equal(first["y"], np.zeros(4))  # to look at it took nothing away
    repeated = tf.data.Dataset.from_tensor_slices((X, np.ones(4))).repeat().batch(4)
    assert as_data({"train": repeated}, steps=7).steps("train", 4) == 7


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((X, np.ones(4), np.ones((4, 2))), r"train: w must be \[N\]. Received: \(4, 2\)"),
        ((X, np.ones((4, 5)), np.ones((4, 2))), r"w must be \[N\] or \[N, 5\]. Received: \(4, 2\)"),
        ((X, np.ones(4), [np.ones(4), np.ones(4)]), "weights of several outputs are a dict"),
        ((X * 0 + 1e60, np.ones(4)), "train: x must fit float32, which ends at 3.4e38. Received: 1e"),
        ((X, np.full(4, 2**63, np.uint64)), "y must fit int64"),
        ((X, np.array(["2020-01-01"] * 4, "datetime64[D]")), "y must be numbers, booleans or text. Received: datetime64"),
        ((X, np.array([1, None, "a", {}])), "y must be numbers, booleans or text. Received: object"),
        ((X, []), r"must have one length, one or more. Received: \[0, 4\]"),
        ("abc", "train: give .x, y., .* Received: str"),
        (((X, np.ones(4)) for _ in range(9)), "need steps or steps_per_epoch"),
        (iter(()), "the generator is empty"),
        (tf.data.Dataset.from_tensor_slices((X, ["a", "b", "c", "d"])).batch(2), "text labels in batches must be class numbers"),
    ],
)  # fmt: skip
def test_what_would_train_nonsense_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        as_data({"train": given})


def test_a_label_that_training_lacks():
    with pytest.raises(ValueError, match="validation: the label 'emu' is not in the training data. It has: cat, dog"):
        as_data({"train": (X, ["dog", "cat"] * 2), "validation": (X[:1], ["emu"])})
