"""Fields of x and of y, each with an encoder of its own: nests, target encoders, and splits that are read when needed."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from trainers.config import Config
from trainers.data import pipeline
from trainers.data.encoders import (
    ArrayEncoder,
    ClassesEncoder,
    Fields,
    ImageEncoder,
    LabelEncoder,
    MaskEncoder,
    NumberEncoder,
    TextEncoder,
    make_encoder,
    saved,
)  # fmt: skip
from trainers.data.encoders.kinds import completed, input_kind, target_kind
from trainers.data.order import batch_indices
from trainers.data.pipeline import check_same_data, load_data, load_encoder, save_state
from trainers.data.serving import Data
from trainers.data.spec import Batches, Indexed, Source, Spec, Split, Stream
from trainers.engine.signals import Interrupted
from trainers.runs.finished import evaluate_run, predict_run
from trainers.runs.run import run

N, B, T = 10, 4, 4  # as many steps as rows: where the two are mixed up, nothing else fails
RNG = np.random.default_rng(0)
X = {"photo": RNG.integers(0, 256, (N, 2, 3, 1)).astype(np.uint8), "age": np.arange(N, dtype=np.float32)}
Y = {"tags": RNG.integers(0, 5, (N, T)).astype(np.int32), "mask": RNG.integers(0, 3, (N, 2, 3)).astype(np.uint8)}
WEIGHTS = {
    "none": None,
    "of examples": RNG.uniform(1, 2, N).astype(np.float32),
    "of steps": RNG.uniform(1, 2, (N, T)).astype(np.float32),
    "of terms": {"tags": RNG.uniform(1, 2, (N, T)).astype(np.float32), "mask": RNG.uniform(1, 2, N).astype(np.float32)},
}


def split_of(kind: str, w, note=lambda index: index):
    """The arrays above as a split; `note` is called with the number of each example that is read."""
    if kind == "arrays":
        return Split(X, Y, w)
    arrays = {"x": X, "y": Y} | ({} if w is None else {"w": w})

    def example(index, of):
        index = tf.ensure_shape(tf.numpy_function(lambda i: note(i), [index], tf.int64), ())
        return tf.nest.map_structure(lambda array: tf.gather(array, index), of)

    if kind == "indexed":
        return Indexed(Split(np.arange(N), Y, w), lambda index: example(index, X))
    if kind == "stream":
        return Stream(tf.data.Dataset.range(N), N, window=6, read=lambda index: example(index, arrays))
    return Batches(
        tf.data.Dataset.from_tensor_slices({"w": np.ones(N, np.float32), **arrays}).batch(B), batch_size=B, steps=3, size=N
    )


def data_of(kind: str, w=None, **options) -> Data:
    spec = Spec(input_shape={"photo": (2, 3, 1), "age": ()}, target_shape={"tags": (T,), "mask": (2, 3)}, examples={"train": N})
    encoder = Fields({"photo": ImageEncoder((2, 3, 1)), "age": ArrayEncoder()})
    targets = Fields({"tags": LabelEncoder(num_classes=5), "mask": MaskEncoder((2, 3), 3)})
    return Data(spec, {"train": split_of(kind, w, **options)}, encoder, target_encoder=targets)


def order_of(step: int, kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The examples of a training batch and whether each is one."""
    data, real = data_of(kind), np.arange(B) < min(B, N - step % 3 * B)
    indices = np.asarray(data.examples_of_batch("train", B, seed=seed, step=step))
    return np.resize(indices, B), real


@pytest.mark.parametrize(("w", "hosts"), [("none", 2), ("of examples", 2), ("of steps", 1), ("of steps", 2), ("of terms", 2)])
@pytest.mark.parametrize("kind", ["arrays", "indexed", "stream", "batches"])
def test_nests_and_weights_in_batches(kind, hosts, w):
    """Against NumPy by hand: each host has its rows, and padding weighs 0, whatever the weights' shape."""
    w = WEIGHTS[w]
    data = data_of(kind, w)
    trainings = [False] if kind == "batches" else [False, True]  # what somebody else made is not shuffled by us
    for training in trainings:
        for host in range(hosts):
            options = dict(training=training, seed=1, start_step=1, share=(host, hosts))
            mine = slice(host * B // hosts, (host + 1) * B // hosts)
            found = list(data.batches("train", B, **options).take(2 if not training else 4).as_numpy_iterator())
            for step, batch in enumerate(found, start=1):
                indices = np.resize(np.arange(N)[step * B : (step + 1) * B], B)
                real = np.arange(B) < min(B, N - step % 3 * B)
                if training:
                    indices, real = order_of(step, kind, seed=1)
                indices, real = indices[mine], real[mine].astype(np.float32)
                tf.nest.map_structure(np.testing.assert_array_equal, batch["x"], {k: v[indices] for k, v in X.items()})
                tf.nest.map_structure(np.testing.assert_array_equal, batch["y"], {k: v[indices] for k, v in Y.items()})

                def check(found, of, real=real, indices=indices):
                    wanted = of[indices] * real.reshape(-1, *[1] * (of.ndim - 1))
                    assert (found.dtype, found.shape) == (np.float32, wanted.shape)
                    np.testing.assert_array_equal(found, wanted)

                tf.nest.map_structure(check, batch["w"], np.ones(N, np.float32) if w is None else w)


def test_a_split_counts_examples_not_fields():
    assert len(Split(X, Y)) == len(Split(X)) == N
    half = Split(X, Y, WEIGHTS["of terms"]).take(np.arange(0, N, 2))
    np.testing.assert_array_equal(half.y["tags"], Y["tags"][::2])
    np.testing.assert_array_equal(half.w["mask"], WEIGHTS["of terms"]["mask"][::2])


def test_bytes_until_the_step_and_what_it_makes_of_them():
    data = data_of("arrays")
    (batch,) = data.batches("train", N, training=False).as_numpy_iterator()
    assert (batch["x"]["photo"].dtype, batch["y"]["mask"].dtype) == (np.uint8, np.uint8)
    found = tf.function(data.decode, jit_compile=True)(tf.nest.map_structure(tf.constant, batch))
    np.testing.assert_allclose(found["x"]["photo"], X["photo"] / 255, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found["y"]["mask"], Y["mask"])
    assert {name: t.dtype.name for name, t in found["y"].items()} == {"tags": "int32", "mask": "int32"}
    np.testing.assert_array_equal(data.targets("train")["mask"], Y["mask"])


@pytest.mark.parametrize("kind", ["indexed", "stream"])
@pytest.mark.parametrize("step", [1, 31])
def test_going_on_in_an_epoch_gives_the_batches_of_a_run_without_a_break(kind, step):
    whole = list(data_of(kind, WEIGHTS["of steps"]).batches("train", B, training=True, seed=2).take(34).as_numpy_iterator())
    going_on = data_of(kind, WEIGHTS["of steps"])
    part = iter(going_on.batches("train", B, training=True, seed=2, start_step=step))
    for wanted in whole[step : step + 3]:
        tf.nest.map_structure(np.testing.assert_array_equal, next(part), wanted)


@pytest.mark.parametrize("kind", ["indexed", "stream"])
def test_what_came_before_in_the_epoch_is_not_read(kind):
    (data, read), before = numbers_of(kind, 10_000), set()
    for earlier in range(0, 60, 6):
        before |= set(data.examples_of_batch("train", 10, seed=2, step=1000 + earlier))
    (batch,) = data.batches("train", 10, training=True, seed=2, start_step=1060).take(1)
    assert batch["x"].numpy().tolist() == data.examples_of_batch("train", 10, seed=2, step=1060)
    assert read
    assert not before & set(read)


def numbers_of(kind: str, size: int) -> tuple[Data, list[int]]:
    """Data whose x are the numbers of the examples, and the list of those that were read."""
    read = []

    def look(index):
        return tf.ensure_shape(tf.numpy_function(lambda i: read.append(int(i)) or i, [index], tf.int64), ())

    if kind == "indexed":
        split = Indexed(Split(np.arange(size), np.zeros(size, np.int32)), look)
    else:
        split = Stream(tf.data.Dataset.range(size), size, window=500, read=lambda index: {"x": look(index), "y": 0})
    return Data(Spec(input_shape=(), examples={"train": size}), {"train": split}, ArrayEncoder()), read


def test_memory_does_not_grow_with_the_split():
    """Of a million examples only those of the next batches are read; each host reads its own."""
    size = 1_000_000
    data, read = numbers_of("indexed", size)
    options = dict(training=True, seed=0, start_step=3_000_000, share=(1, 2))
    batches = list(data.batches("train", 8, **options).take(5).as_numpy_iterator())
    of = dict(size=size, batch_size=8, seed=0, shuffle=True)
    wanted = batch_indices(3_000_000 + tf.range(500, dtype=tf.int64), **of)[0][:, 4:].numpy()
    np.testing.assert_array_equal([b["x"] for b in batches], wanted[:5])
    assert set(read) <= set(wanted.ravel())


# Encoders of targets ----------------------------------------------------------------------------------------------------------


def encoded(encoder, raw, others=None):
    """`others` (or the same) encoded by what was fitted on `raw`, through JSON; and the facts of `raw`."""
    encoder.fit(raw)
    again = make_encoder(json.loads(json.dumps(saved(encoder))))
    assert again.state == encoder.state
    values = again.encode(raw)
    return again.encode(raw if others is None else others), encoder.facts(values)


def test_labels():
    y, facts = encoded(LabelEncoder(), np.array(["10", "9", "9", "b"]), np.array(["b", "9"]))
    assert (y.tolist(), y.dtype) == ([2, 0], np.int32)
    assert facts == {"num_classes": 3, "class_names": ("9", "10", "b"), "class_counts": (2, 1, 1)}
    with pytest.raises(ValueError, match="the label 'c' is not in the training split. It has: 9, 10, b"):
        encoded(LabelEncoder(), np.array(["10", "9", "b"]), np.array(["c"]))
    with pytest.raises(ValueError, match="labels must be 0 to 2. Received: -1 in example 1"):
        LabelEncoder(num_classes=3).encode(np.array([0, -1]))
    assert LabelEncoder(num_classes=3).encode(np.array([2.0, 0.0])).tolist() == [2, 0]
    with pytest.raises(ValueError, match="labels must be class numbers. Received: 0.5"):
        LabelEncoder(num_classes=3).encode(np.array([0.5]))
    assert encoded(LabelEncoder(), [b"x", b"y"])[1]["class_names"] == ("x", "y")


def test_tags_of_steps(caplog):
    """Whole numbers stay what they are; names are numbered; sequences are padded with -1."""
    y, facts = encoded(LabelEncoder(), np.array([[0, 7, -1], [7, 7, 3]]))
    assert y.tolist() == [[0, 7, -1], [7, 7, 3]]
    assert (facts["num_classes"], facts["class_names"], facts["class_counts"]) == (8, None, (1, 0, 0, 1, 0, 0, 0, 3))
    y, facts = encoded(LabelEncoder(), [["NOUN", "VERB"], ["NOUN"]], [["VERB", "NOUN", "NOUN"], []])
    assert y.tolist() == [[1, 0], [-1, -1]]
    assert (y.dtype, facts["class_names"], facts["class_counts"]) == (np.int32, ("NOUN", "VERB"), (2, 1))
    assert "1 of 2 sequences have more than 2 steps and lose their end" in caplog.text
    assert encoded(LabelEncoder(length=4), [["a"], ["b", "a"]])[0].shape == (2, 4)
    with pytest.raises(ValueError, match="labels must be 0 to 1. Received: 2 in example 1"):
        encoded(LabelEncoder(), [[0, 1], [1]], [[0], [2]])


def test_several_classes_of_an_example():
    y, facts = encoded(ClassesEncoder(), [["cat", "dog"], [], ["cat"]])
    assert (y.tolist(), y.dtype) == ([[1, 1], [0, 0], [1, 0]], np.uint8)
    assert facts == {"num_classes": 2, "class_names": ("cat", "dog"), "class_counts": (2, 1)}
    assert ClassesEncoder(["a", "b"]).decode(tf.constant(y)).dtype == tf.int32, "no probabilities"
    y, _ = encoded(ClassesEncoder(), np.array([[0.25, 0.75]]))
    assert (y.tolist(), y.dtype) == ([[0.25, 0.75]], np.float32)


def test_masks_in_files(tmp_path):
    for i, value in enumerate((0, 2, 255)):
        mask = np.full((4, 6), value, np.uint8)
        mask[0, 0] = 1
        image = Image.fromarray(mask)
        image.putpalette([0] * 768)
        image.save(tmp_path / f"{i}.png")
    files = sorted(tmp_path.glob("*.png"))
    masks = MaskEncoder((2, 3), 3).encode(files)
    assert (masks.shape, masks.dtype, np.unique(masks[1]).tolist()) == ((3, 2, 3), np.uint8, [2])
    assert np.unique(MaskEncoder((2, 3), 3).decode(tf.constant(masks))[2]).tolist() == [-1]
    with pytest.raises(ValueError, match="labels must be 0 to 1. Received: 2 in example 1"):
        MaskEncoder((4, 6), 2).encode(files)
    Image.new("RGB", (6, 4)).save(tmp_path / "colour.png")
    with pytest.raises(ValueError, match="must be grey or have a palette, with class numbers. Received: mode RGB"):
        MaskEncoder((4, 6), 2).encode([tmp_path / "colour.png"])


def test_boxes_numbers_and_tokens():
    boxes, _ = encoded(ArrayEncoder(), [np.ones((2, 4)), np.zeros((0, 4)), np.full((1, 4), 0.5)])
    assert (boxes.shape, boxes.dtype, boxes.sum(axis=(1, 2)).tolist()) == ((3, 2, 4), np.float32, [8, 0, 2])
    y, facts = encoded(NumberEncoder(), np.array([[1, 10], [3, 10]]))
    assert (y.dtype, facts) == (np.float32, {"target_mean": (2.0, 10.0), "target_std": (1.0, 1.0)})
    y, facts = encoded(TextEncoder(max_length=3), ["a b", "b"])
    assert (y.shape, facts["num_classes"]) == ((2, 3), 4), "padding, unknown, a and b"


@pytest.mark.parametrize(
    ("kind_of", "values", "wanted"),
    [
        (input_kind, np.zeros((3, 4, 4, 3), np.uint8), ImageEncoder),
        (input_kind, np.zeros((3, 4, 4)), ArrayEncoder),
        (input_kind, ["a", "b"], TextEncoder),
        (input_kind, np.array(["a", "b"]), TextEncoder),
        (input_kind, {"a": np.zeros(3), "b": ["a", "b", "c"]}, Fields),
        (target_kind, np.array(["a", "b"]), LabelEncoder),
        (target_kind, np.arange(3), LabelEncoder),
        (target_kind, np.arange(6).reshape(3, 2), LabelEncoder),
        (target_kind, np.zeros((3, 4, 4), np.uint8), LabelEncoder),
        (target_kind, [["a"], ["a", "b"]], LabelEncoder),
        (target_kind, np.array([[0, 1, 1], [0, 0, 0]]), ClassesEncoder),
        (target_kind, np.array([[0.0, 1, 1], [0, 0, 0]]), ClassesEncoder),
        (target_kind, np.array([[0.5, 0.5], [0.1, 0.9]]), ClassesEncoder),
        (target_kind, np.linspace(0, 1, 3), NumberEncoder),
        (target_kind, np.array([[0.5, 7], [0.1, 0.9]]), NumberEncoder),
        (target_kind, np.zeros((3, 4, 4, 3), np.uint8), ImageEncoder),
        (target_kind, np.full((3, 4, 4), 0.5), ArrayEncoder),
        (target_kind, [np.zeros((2, 4)), np.zeros((1, 4))], ArrayEncoder),
        (target_kind, (), Fields),
    ],
)
def test_a_field_is_taken_for_what_it_looks_like(kind_of, values, wanted):
    assert type(completed(None, values, kind_of)) is wanted


# One's own data ---------------------------------------------------------------------------------------------------------------


def own(*, kind="arrays", w="of steps", fields=None, y=None, size=N, **options):
    """A source of the user's own, for `load_data`."""
    if kind == "fields":
        return {"train": {"x": X, "y": Y if y is None else y, "w": WEIGHTS[w]}, "test": {"x": X, "y": Y if y is None else y}}
    encoders = {"x": {"photo": ImageEncoder((2, 3, 1)), "age": ArrayEncoder(standardize=True)}, "y": fields}
    return Source({"train": split_of(kind, WEIGHTS[w]), "test": split_of(kind, None)}, fields=encoders)


@pytest.mark.parametrize("kind", ["fields", "arrays", "indexed", "stream"])
def test_own_data_of_several_fields_and_its_state(kind, tmp_path, caplog):
    caplog.set_level("INFO", "trainers")
    config = {"name": "test_fields:own", "kind": kind}
    data = load_data(config)
    spec = data.spec
    assert (spec.input_shape, spec.target_shape) == ({"photo": (2, 3, 1), "age": ()}, {"tags": (T,), "mask": (2, 3)})
    assert (spec.examples, spec.class_names) == ({"train": N, "test": N}, {"tags": None, "mask": None})
    assert spec.num_classes == {"tags": Y["tags"].max() + 1, "mask": Y["mask"].max() + 1}
    if kind != "stream":
        assert spec.class_counts["mask"] == tuple(np.bincount(Y["mask"].ravel()))
    said = "x.photo is image [2, 3, 1]; x.age is array []; y.tags is label [4]; y.mask is label [2, 3]"
    assert said in caplog.text
    save_state(data, tmp_path)
    assert load_encoder(tmp_path)[0] == spec
    again = load_data(config, tmp_path)
    check_same_data(again, tmp_path)
    for one in (data, again):
        batch = next(iter(one.batches("train", N, training=False)))
        ages = X["age"] if kind == "fields" else (X["age"] - X["age"].mean()) / X["age"].std()
        np.testing.assert_allclose(batch["x"]["age"], ages, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(batch["y"]["tags"], Y["tags"])
        assert (batch["y"]["mask"].dtype, batch["w"].shape) == (tf.uint8, (N, T))
        np.testing.assert_array_equal(one.targets("train")["mask"], Y["mask"])
    np.savez(tmp_path / "new.npz", **{name: values[:2] for name, values in X.items()})
    new = again.encode(again.encoder.read(tmp_path / "new.npz"))
    np.testing.assert_allclose(new["photo"], X["photo"][:2] / 255, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="must be a .npz with the arrays photo, age"):
        again.encoder.read(tmp_path / "data.json")


def test_what_is_written_comes_back_equal(tmp_path):
    spec = Spec(
        input_shape={"a": (2, 3), "b": ((4,), ())}, target_shape=(), examples={"train": 3}, vocab_size={"a": 7, "b": None},
        class_names={"y": ("a", "b"), "z": None}, target_mean=(0.1, 0.2),
    )  # fmt: skip
    encoder = Fields({"a": TextEncoder(max_length=2), "b": (ArrayEncoder(), Fields({"name": ArrayEncoder()}))})
    encoder.fit({"a": ["x y"], "b": (np.zeros(1), {"name": np.zeros(1)})})
    save_state(Data(spec, {}, encoder), tmp_path)
    found, again = load_encoder(tmp_path)
    assert found == spec
    assert saved(again) == saved(encoder)


def test_the_state_of_version_0_1_0_still_loads(tmp_path):
    """It kept the encoder of x, and of y the class names alone."""
    state = {
        "spec": {
            "input_shape": [2], "examples": {"train": 6, "test": 3}, "num_classes": 3, "class_names": ["0", "1", "2"],
            "class_counts": [2, 2, 2], "target_mean": None, "target_std": None, "vocab_size": None,
        },
        "encoder": {"name": "array", "standardize": False, "mean": None, "std": None},
    }  # fmt: skip
    (tmp_path / pipeline.STATE_FILE).write_text(json.dumps(state))
    data = load_data({"name": "test_data:own_source"}, tmp_path)
    check_same_data(data, tmp_path)
    assert load_encoder(tmp_path)[0].class_names == ("0", "1", "2")
    fewer = load_data({"name": "test_data:own_source", "labels": (2, 1)}, tmp_path)
    assert fewer.arrays("train").y.tolist() == [2, 1] * 3, "numbered as the run has it"
    with pytest.raises(ValueError, match=r"class_counts was \(2, 2, 2\), now it is \(0, 3, 3\)"):
        check_same_data(fewer, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "fields", "y": Y["tags"][:5]}, r"split 'train' must have as many examples. Received: x.photo 10, .*y 5, w 10"),
        ({"kind": "fields", "y": np.full(N, np.nan)}, "y of split 'train' must be finite. Received: nan in example 0"),
        ({"kind": "arrays", "fields": {"tag": LabelEncoder()}}, "no field 'tag'. There are: tags, mask"),
        ({"kind": "arrays", "fields": {"tags": LabelEncoder(num_classes=2)}}, "y of split 'train': field 'tags': labels must be 0 to 1"),
        ({"kind": "arrays", "fields": "label"}, "a field needs an encoder. Received: 'label'"),
        ({"kind": "fields", "augment": {"flip": True}}, r"augment changes x alone, while masks.* shape .*and augment=.'flip'"),
        ({"kind": "fields", "y": np.arange(N), "augment": {"blur": 1}}, "unknown augmentation 'blur'"),
    ],
)  # fmt: skip
def test_bad_fields_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        load_data({"name": "test_fields:own", **options})


def no_splits(*, given):
    return given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], "must return a Source or a dict of splits. Received: list"),
        ({"train": X}, r'split \'train\' must be \(x, y\), \(x, y, w\) or {"x", "y", "w"}. Received: a dict of photo, age'),
        ({"train": {"x": {1: np.zeros(3)}}}, r"names of fields must be text. Received: \[1\]"),
        ({"train": {"x": [np.zeros(2), "a"]}}, "x of split 'train': .* inhomogeneous shape"),
        ({"train": {"x": np.zeros((3, 2)), "w": np.array([1, np.inf, 1])}}, "w of split 'train' must be finite. Received: inf"),
    ],
)
def test_own_splits_that_are_none(given, message):
    with pytest.raises(ValueError, match=message):
        load_data({"name": "test_fields:no_splits", "given": given})


def test_images_beside_other_fields_are_augmented():
    """As a function of the example, whatever the batch; numbers stay."""
    pixels = [{}, {}]
    for found, size in zip(pixels, (5, 10), strict=True):
        data = load_data({"name": "test_fields:own", "kind": "fields", "y": np.arange(N), "augment": {"flip": True}})
        for batch in data.batches("train", size, training=True, seed=1).take(N // size).as_numpy_iterator():
            found.update(zip(batch["x"]["age"].tolist(), batch["x"]["photo"], strict=True))
    assert pixels[0].keys() == set(X["age"].tolist())
    flipped = [not np.array_equal(pixels[0][age], X["photo"][int(age)]) for age in pixels[0]]
    assert 0 < sum(flipped) < N
    assert all(np.array_equal(pixels[0][age], pixels[1][age]) for age in pixels[0])


# A run of several fields ------------------------------------------------------------------------------------------------------


def two_inputs(input_shape, num_classes, *, dtype=None, name="two_inputs"):
    """A model of a photo and an age."""
    photo, age = (keras.Input(input_shape[key], name=key) for key in ("photo", "age"))
    x = keras.layers.Concatenate()([keras.layers.Flatten()(photo), keras.layers.Reshape((1,))(age)])
    return keras.Model({"photo": photo, "age": age}, keras.layers.Dense(num_classes)(x), name=name)


def people(*, in_memory):
    """Photos and ages, each person of one of three classes; w counts some twice."""
    x = {"photo": np.tile(X["photo"], (4, 1, 1, 1)), "age": np.arange(40, dtype=np.float32)}
    x["photo"][:, 0, 0, 0] = np.arange(40)
    split = Split(x, np.arange(40) % 3, 1 + np.arange(40) % 2)
    if not in_memory:
        rows = Split(np.arange(40), split.y, split.w)
        split = Indexed(rows, lambda i: {key: tf.gather(values, i) for key, values in x.items()})
    encoders = {"photo": ImageEncoder((2, 3, 1)), "age": ArrayEncoder(standardize=True)}
    return Source({"train": split, "test": split}, class_names=("a", "b", "c"), fields={"x": encoders})


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_run_of_several_fields_resumes_evaluates_and_predicts(in_memory, tmp_path):
    made = Config(
        data=dict(name="test_fields:people", in_memory=in_memory), model=dict(name="test_fields:two_inputs"),
        optimizer=dict(name="sgd", learning_rate=0.1), batch_size=12, epochs=3,
    )  # fmt: skip
    whole = run(made, tmp_path / "whole", plan="graph")

    def stop(event, learner):
        if event == "metrics" and learner.progress.step == 6:
            learner.interrupt(15)

    part = Config(**made.to_dict() | {"log_every_steps": 3})
    with pytest.raises(Interrupted):
        run(part, tmp_path / "part", plan="graph", hooks=[stop])
    resumed = run(part, tmp_path / "part", plan="graph")
    assert resumed["test"] == whole["test"]
    metrics, _ = evaluate_run(tmp_path / "part")
    assert metrics["loss"] == pytest.approx(whole["test"]["loss"], abs=1e-6)
    np.savez(tmp_path / "new.npz", photo=X["photo"][:2], age=np.arange(2.0))
    ((_, answers),) = predict_run(tmp_path / "part", [tmp_path / "new.npz"])
    assert {answer["class"] for answer in answers} <= {"a", "b", "c"}
    assert len(answers) == 2
