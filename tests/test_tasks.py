"""Losses against Keras, metrics and reports against scikit-learn. Sums are taken in uneven batches with padding."""

import types

import keras
import numpy as np
import pytest
from sklearn import metrics as sk

from trainers.tasks import make_task

RNG = np.random.default_rng(0)


def spec(**fields):
    return types.SimpleNamespace(
        **{"num_classes": None, "class_names": None, "class_counts": None, "target_mean": None, **fields}
    )


def totals(task, y, outputs, w, batch=16):
    """The sums over all examples, batch by batch, each batch padded by 3 rows of weight 0."""
    found = {"loss": 0.0, "weight": 0.0}
    for i in range(0, len(y), batch):
        rows = np.r_[i : min(i + batch, len(y)), 0, 0, 0]
        part = {"x": None, "y": y[rows], "w": np.r_[w[rows[:-3]], 0, 0, 0].astype(np.float32)}
        sums = {name: np.asarray(value) for name, value in task.metrics(part, outputs[rows], training=False).items()}
        sums |= {"loss": np.sum(np.asarray(task.losses(part, outputs[rows])) * part["w"]), "weight": part["w"].sum()}
        found = {name: found.get(name, 0) + value for name, value in sums.items()}
    return task.finish(found)


def classified(classes: int, size: int = 200):
    y = RNG.integers(0, classes, size).astype(np.int32)
    logits = RNG.normal(size=(size, classes)).astype(np.float32) + 1.5 * np.eye(classes, dtype=np.float32)[y]
    return y, logits


@pytest.mark.parametrize("classes", [2, 3, 8])
@pytest.mark.parametrize("weighted", [False, True])
def test_classification_equals_scikit_learn(classes, weighted):
    y, logits = classified(classes)
    w = RNG.random(200).astype(np.float32) if weighted else np.ones(200, np.float32)
    found = totals(make_task("classify", spec(num_classes=classes)), y, logits, w)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    predicted = logits.argmax(1)
    assert found["loss"] == pytest.approx(sk.log_loss(y, p, sample_weight=w), abs=1e-5)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, predicted, sample_weight=w), abs=1e-5)
    assert found["f1_micro"] == pytest.approx(found["accuracy"], abs=1e-5)
    for name, function in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        assert found[name] == pytest.approx(function(y, predicted, average="macro", sample_weight=w), abs=1e-5)
    scores = p[:, 1] if classes == 2 else p
    options = {} if classes == 2 else dict(multi_class="ovr", average="macro")
    if classes == 2 or not weighted:  # scikit-learn takes no weights for several classes
        assert found["roc_auc"] == pytest.approx(
            sk.roc_auc_score(y, scores, sample_weight=w if weighted else None, **options), abs=2e-3
        )
    assert ("top5_accuracy" in found) == (classes > 5)
    if classes > 5:
        assert found["top5_accuracy"] == pytest.approx(sk.top_k_accuracy_score(y, logits, k=5, sample_weight=w), abs=1e-5)


def test_one_logit_equals_two_classes():
    y, logits = classified(2)
    two, one = make_task("classify", spec(num_classes=2)), make_task("classify", spec(num_classes=2))
    difference = logits[:, 1:] - logits[:, :1]
    w = np.ones(200, np.float32)
    assert totals(one, y, difference, w) == pytest.approx(totals(two, y, logits, w), abs=1e-5)
    assert one.report(y, difference).data["confusion_matrix"] == two.report(y, logits).data["confusion_matrix"]
    assert one.predictions(difference)[:5] == [
        {"class": p["class"], "probability": pytest.approx(p["probability"], abs=1e-6)} for p in two.predictions(logits)[:5]
    ]


def test_the_report_is_scikit_learns():
    y, logits = classified(4)
    names = ("ant", "bee", "cat", "dog")
    report = make_task("classify", spec(num_classes=4, class_names=names)).report(y, logits)
    text, data = report.text, report.data
    wanted = sk.classification_report(y, logits.argmax(1), target_names=names, output_dict=True)
    assert {name: data[name] for name in wanted} == wanted
    assert sk.classification_report(y, logits.argmax(1), target_names=names, digits=4) in text
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert data["roc_auc"] == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"), abs=1e-6)
    assert data["confusion_matrix"] == sk.confusion_matrix(y, logits.argmax(1)).tolist()


def test_a_class_that_does_not_occur():
    y, logits = classified(4)
    y = np.minimum(y, 2)
    task = make_task("classify", spec(num_classes=4))
    found, data = totals(task, y, logits, np.ones(200, np.float32)), task.report(y, logits).data
    assert found["f1"] == pytest.approx(sk.f1_score(y, logits.argmax(1), average="macro"), abs=1e-6)
    assert data["3"]["support"] == 0
    assert np.isfinite(data["roc_auc"])


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("soft", [False, True])
def test_losses_equal_keras(classes, smoothing, soft):
    y, logits = classified(classes, 30)
    labels = np.eye(classes, dtype=np.float32)[y]
    labels = 0.7 * labels + 0.3 * labels[::-1] if soft else labels
    task = make_task("classify", spec(num_classes=classes), label_smoothing=smoothing)
    found = task.losses({"y": labels if soft else y}, logits)
    wanted = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, reduction="none")(labels, logits)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    if classes == 2 and not soft:
        difference = logits[:, 1:] - logits[:, :1]
        wanted = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing, reduction="none")(
            y[:, None], difference
        )
        np.testing.assert_allclose(task.losses({"y": y}, difference), wanted, rtol=0, atol=1e-5)


def test_class_weights_scale_the_loss_alone():
    y, logits = classified(3)
    counts = np.bincount(y)
    plain = make_task("classify", spec(num_classes=3))
    given = make_task("classify", spec(num_classes=3), class_weights=[1.0, 2.0, 3.0])
    batch, w = {"y": y, "w": np.ones(200, np.float32)}, np.ones(200, np.float32)
    np.testing.assert_allclose(
        given.losses(batch, logits), np.asarray(plain.losses(batch, logits)) * np.array([1, 2, 3])[y], rtol=1e-6
    )
    assert totals(given, y, logits, w)["accuracy"] == totals(plain, y, logits, w)["accuracy"]
    balanced = make_task("classify", spec(num_classes=3, class_counts=tuple(counts)), class_weights="balanced")
    np.testing.assert_allclose(balanced.class_weights, 200 / (3 * counts), rtol=1e-6)


def test_probabilities_instead_of_logits():
    y, logits = classified(3)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    w = np.ones(200, np.float32)
    from_p = totals(make_task("classify", spec(num_classes=3), from_logits=False), y, p, w)
    assert from_p == pytest.approx(totals(make_task("classify", spec(num_classes=3)), y, logits, w), abs=1e-4)


def test_training_metrics_are_few():
    y, logits = classified(3)
    batch = {"y": y, "w": np.ones(200, np.float32)}
    assert set(make_task("classify", spec(num_classes=3)).metrics(batch, logits, training=True)) == {"correct"}


def test_the_baseline_never_looks_at_x():
    task = make_task("classify", spec(num_classes=3, class_names=("a", "b", "c")))
    assert task.baseline(np.array([0, 1, 1, 2]), np.array([1, 1, 0, 2])) == ("always b", {"accuracy": 0.5})
    task = make_task("regress", spec(target_mean=(0.0,), target_std=(1.0,)))
    how, found = task.baseline(np.array([1.0, 3.0]), np.array([2.0, 4.0]))
    assert (how, found) == ("always the mean", {"mse": pytest.approx(2.0), "mae": pytest.approx(1.0)})


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_regression_equals_scikit_learn(targets, loss):
    """The model gives standardised numbers; the loss is of these, the metrics are in y's own units."""
    y = RNG.normal(50, 10, (200, targets)).astype(np.float32)
    mean, std = tuple(y.mean(0).tolist()), tuple(y.std(0).tolist())
    outputs = ((y - mean) / np.asarray(std) + RNG.normal(0, 1.5, y.shape)).astype(np.float32)
    values, w = outputs * np.asarray(std) + mean, RNG.random(200).astype(np.float32)
    task = make_task("regress", spec(target_mean=mean, target_std=std), loss=loss)
    found = totals(task, y[:, 0] if targets == 1 else y, outputs, w)
    assert found["mse"] == pytest.approx(sk.mean_squared_error(y, values, sample_weight=w), rel=1e-4)
    assert found["rmse"] == pytest.approx(np.sqrt(found["mse"]))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(y, values, sample_weight=w), rel=1e-4)
    assert found["r2"] == pytest.approx(sk.r2_score(y, values, sample_weight=w), abs=1e-4)
    kind = {"mse": keras.losses.MeanSquaredError, "mae": keras.losses.MeanAbsoluteError, "huber": keras.losses.Huber}[loss]
    wanted = kind()((y - mean) / np.asarray(std), outputs, sample_weight=w * len(w) / w.sum())
    assert found["loss"] == pytest.approx(float(wanted), rel=1e-4)
    assert task.predictions(outputs)[0]["value"] == pytest.approx(
        values[0, 0] if targets == 1 else values[0].tolist(), rel=1e-4
    )
    assert task.report(y, outputs).data["mean_error"] == pytest.approx((values - y).mean(), abs=1e-3)


class Own(make_task("regress", spec(target_mean=(0.0,), target_std=(1.0,))).__class__):
    """A task of the user's own."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_task("clasify", spec()), "unknown task 'clasify'. Nearest: classify"),
        (
            lambda: make_task("classify", spec(num_classes=3), smoothing=1),
            r"unexpected keyword argument 'smoothing'. It is classify\(",
        ),
        (lambda: make_task("classify", spec()), "use task 'regress'"),
        (lambda: make_task("regress", spec(num_classes=3)), "use task 'classify'"),
        (
            lambda: make_task("regress", spec(target_mean=(0,), target_std=(1,)), loss="l2"),
            "unknown loss 'l2'. Accepted: mse, mae, huber",
        ),
        (lambda: make_task("classify", spec(num_classes=3), class_weights=[1.0]), "must be .balanced. or 3 numbers"),
        (
            lambda: make_task("classify", spec(num_classes=3)).check_targets(np.array([0, 3])),
            "labels must be 0 to 2. Received: 3 in example 1",
        ),
        (lambda: make_task("classify", spec(num_classes=3)).check_targets(np.zeros((4, 2))), r"must be \[N, 3\]"),
        (
            lambda: make_task("regress", spec(target_mean=(0,), target_std=(1,))).check_targets(np.array([np.nan])),
            "must be finite",
        ),
    ],
)
def test_bad_arguments_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_task_of_the_users_own():
    assert isinstance(make_task("test_tasks:Own", spec(target_mean=(0.0,), target_std=(1.0,))), Own)


def multilabelled(size: int = 200, classes: int = 4):
    y = RNG.integers(0, 2, (size, classes))
    return y, (RNG.normal(size=y.shape) + y - 0.5).astype(np.float32)


def test_multilabel_equals_scikit_learn():
    y, logits = multilabelled()
    w, task = RNG.random(200).astype(np.float32), make_task("multilabel", spec(num_classes=4))
    found, predicted = totals(task, y, logits, w), (logits > 0).astype(int)
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    losses = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(1)
    assert found["loss"] == pytest.approx((losses * w).sum() / w.sum(), abs=1e-5)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, predicted, sample_weight=w), abs=1e-5)
    for average in ("micro", "macro"):
        wanted = sk.f1_score(y, predicted, average=average, sample_weight=w)
        assert found[f"f1_{average}"] == pytest.approx(wanted, abs=1e-5)
    for name, function in (("precision", sk.precision_score), ("recall", sk.recall_score)):
        assert found[name] == pytest.approx(function(y, predicted, average="micro", sample_weight=w), abs=1e-5)
    assert (
        sk.classification_report(y, predicted, digits=4, zero_division=0, target_names=list("0123"))
        == task.report(y, logits).text
    )
    assert task.predictions(logits)[0]["classes"] == [str(k) for k in np.flatnonzero(predicted[0])]
    smooth = make_task("multilabel", spec(num_classes=4), label_smoothing=0.2)
    wanted = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2, reduction="none")(y, logits)
    np.testing.assert_allclose(smooth.losses({"y": y}, logits), wanted, rtol=0, atol=1e-5)


def test_multilabel_without_a_positive():
    task = make_task("multilabel", spec(num_classes=3))
    y, logits = np.zeros((20, 3), int), -np.ones((20, 3), np.float32)
    assert totals(task, y, logits, np.ones(20, np.float32))["f1_macro"] == 0.0


@pytest.mark.parametrize(
    ("metric", "function"),
    [
        ("mae", sk.mean_absolute_error),
        ("r2_score", sk.r2_score),
        (keras.metrics.RootMeanSquaredError(name="rmse"), sk.root_mean_squared_error),
        (lambda y, p: keras.ops.square(y - p), sk.mean_squared_error),
    ],
)
def test_metrics_of_keras_are_sums(metric, function):
    y, w = RNG.normal(size=(100, 2)).astype(np.float32), RNG.random(100).astype(np.float32)
    outputs = (y + RNG.normal(size=y.shape)).astype(np.float32)
    task = make_task("keras_loss", spec(), loss="mse", metrics=[metric])
    task.check_first({"y": y[:8], "w": np.ones(8)}, keras.ops.convert_to_tensor(outputs[:8]))
    found = totals(task, y, outputs, w)
    name = next(name for name in found if name != "loss")
    assert found[name] == pytest.approx(function(y, outputs, sample_weight=w), abs=1e-4)
    assert found["loss"] == pytest.approx(sk.mean_squared_error(y, outputs, sample_weight=w), abs=1e-5)
    directions = {"mae": "min", "rmse": "min", "r2_score": "max"}
    assert task.directions == {"loss": "min", **{n: d for n, d in directions.items() if n == name}}


class Largest(keras.metrics.Metric):
    """One that does not add up."""

    def __init__(self):
        super().__init__(name="largest")
        self.value = self.add_weight(initializer="zeros")

    def update_state(self, y, p, sample_weight=None):
        self.value.assign(keras.ops.maximum(self.value, keras.ops.max(keras.ops.abs(y - p))))

    def result(self):
        return self.value


def test_a_metric_that_does_not_add_up_is_refused():
    task = make_task("keras_loss", spec(), loss="mse", metrics=[Largest()])
    with pytest.raises(ValueError, match="'largest' does not add up over batches"):
        task.check_first({"y": np.ones((4, 1)), "w": np.ones(4)}, keras.ops.zeros((4, 1)))


def test_accuracy_of_logits_has_its_threshold_at_0():
    y, logits = RNG.integers(0, 2, 50), RNG.normal(size=(50, 1)).astype(np.float32)
    task = make_task("keras_loss", spec(), loss=keras.losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])
    wanted = sk.accuracy_score(y, logits[:, 0] > 0)
    assert totals(task, y, logits, np.ones(50, np.float32))["accuracy"] == pytest.approx(wanted)


def test_multi_hot_targets_are_no_probabilities():
    y = np.array([[0, 1, 0], [1, 1, 0]])
    with pytest.raises(ValueError, match=r"each row must sum to 1. Received: 2.* in example 1.*multilabel"):
        make_task("classify", spec(num_classes=3)).check_targets(y)
