"""Seven classic tutorial programs, written plainly in PyTorch or Keras: from equal weights, on the same batches, ours gives the
same first 100 losses. (Some tutorials put a softmax before a cross-entropy that expects logits: ours gives logits.)
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import array_data, assert_close, make_learner, train
from keras import layers

import modelzoo

torch = pytest.importorskip("torch", reason="the [parity] extra is not installed")
STEPS = 100


def make_data(shape: tuple, classes: int, batch: int):
    """Random x whose labels follow from it, so that the losses fall. A fifth of x is not 0, about as handwriting has it: where
    rounding puts a ReLU on the other side of 0, the losses part by as much as x is large.
    """
    rng = np.random.default_rng(0)
    grey = 0.5 * rng.random((STEPS * batch, *shape), dtype=np.float32)
    x = grey * (rng.random((STEPS * batch, *shape)) < 0.2).astype(np.float32)
    scores = x.reshape(len(x), -1) @ rng.normal(size=(int(np.prod(shape)), classes))
    scores -= scores.mean(0)
    return x, (scores[:, 0] > 0 if classes == 1 else scores.argmax(1)).astype(np.int32)


def our_losses(name: str, x, y, batch: int, optimizer: dict, strategy, arguments: dict | None = None):
    """(losses of our loop, the weights that it started from)."""
    outputs = 1 if name == "mlp_8_10_1" else 10
    data = array_data(x, y, num_classes=max(outputs, 2))
    learner = make_learner(
        lambda: modelzoo.create_model(name, **(arguments or {})), data, strategy, optimizer=optimizer, plan="auto"
    )
    start = [keras.ops.convert_to_numpy(w).copy() for w in learner.model.weights]
    return train(learner, data, STEPS, batch), start


def torch_losses(net: torch.nn.Module, x, y, batch: int, **sgd) -> list[float]:
    optimizer, loss_function, losses = torch.optim.SGD(net.parameters(), **sgd), torch.nn.CrossEntropyLoss(), []
    for i in range(STEPS):
        rows = slice(i * batch, (i + 1) * batch)
        optimizer.zero_grad()
        loss = loss_function(net(torch.from_numpy(x[rows])), torch.from_numpy(y[rows]).long())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def set_linear(layer: torch.nn.Linear, kernel: np.ndarray, bias: np.ndarray) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(kernel.T.copy()))
        layer.bias.copy_(torch.from_numpy(bias))


def set_conv(layer: torch.nn.Conv2d, kernel: np.ndarray, bias: np.ndarray) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
        layer.bias.copy_(torch.from_numpy(bias))


@pytest.mark.parametrize(
    ("name", "shape", "hidden"),
    [("mlp_784_128_10", (28, 28, 1), 128), ("mlp_100_50_10", (100,), 50), ("mlp_784_100_10", (28, 28, 1), 100)],
)
def test_pytorch_dense(name, shape, hidden, one_replica):
    x, y = make_data(shape, 10, batch=64)
    ours, start = our_losses(name, x, y, 64, dict(name="sgd", learning_rate=0.01), one_replica)
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(int(np.prod(shape)), hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 10)
    )
    set_linear(net[1], *start[:2])
    set_linear(net[3], *start[2:])
    assert_close(ours, torch_losses(net, x, y, 64, lr=0.01), 1e-4)


def test_pytorch_mnist_net(one_replica):
    x, y = make_data((28, 28, 1), 10, batch=32)
    no_dropout = dict(dropout=0.0, dropout_dense=0.0)
    ours, start = our_losses(
        "mnist_cnn", x, y, 32, dict(name="sgd", learning_rate=0.001, momentum=0.9), one_replica, no_dropout
    )

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = torch.nn.Conv2d(1, 32, 3, 1), torch.nn.Conv2d(32, 64, 3, 1)
            self.fc1, self.fc2 = torch.nn.Linear(9216, 128), torch.nn.Linear(128, 10)

        def forward(self, x):
            x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
            x = torch.flatten(torch.nn.functional.max_pool2d(x, 2), 1)
            return self.fc2(torch.relu(self.fc1(x)))

    net = Net()
    set_conv(net.conv1, *start[0:2])
    set_conv(net.conv2, *start[2:4])
    by_channel = start[4].reshape(12, 12, 64, 128).transpose(2, 0, 1, 3).reshape(9216, 128)  # PyTorch flattens [C, H, W]
    set_linear(net.fc1, by_channel, start[5])
    set_linear(net.fc2, *start[6:])
    x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    assert_close(ours, torch_losses(net, x, y, 32, lr=0.001, momentum=0.9), 1e-4)


def keras_losses(model: keras.Model, loss_function, optimizer, x, y, batch: int, *, compiled: bool = False) -> list[float]:
    """The loop of the Keras guide "Writing a training loop from scratch", eager or under tf.function."""
    optimizer.build(model.trainable_variables)

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = loss_function(y, model(x, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    step = tf.function(step) if compiled else step
    return [float(step(x[i : i + batch], y[i : i + batch])) for i in range(0, STEPS * batch, batch)]


def test_keras_dense_with_an_eager_tape(one_replica):
    x, y = make_data((28, 28, 1), 10, batch=64)
    ours, start = our_losses("mlp_784_128_10", x, y, 64, dict(name="sgd", learning_rate=0.01), one_replica)
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(10)]
    )
    model.set_weights(start)
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert_close(ours, keras_losses(model, loss_function, keras.optimizers.SGD(0.01), x, y, 64), 1e-4)


def test_keras_binary_8_10_1(one_replica):
    x, y = make_data((8,), 1, batch=10)
    ours, start = our_losses("mlp_8_10_1", x, y, 10, dict(name="adam", learning_rate=0.001), one_replica)
    model = keras.Sequential([keras.Input((8,)), layers.Dense(10, activation="relu"), layers.Dense(1, activation="sigmoid")])
    model.set_weights(start)
    labels = y[:, None].astype(np.float32)
    assert_close(
        ours, keras_losses(model, keras.losses.BinaryCrossentropy(), keras.optimizers.Adam(0.001), x, labels, 10), 1e-4
    )


def test_keras_cifar_net(one_replica):
    """In float64: in float32 a ReLU that rounding turns parts the losses by more than 1e-4 sooner or later, from step 38 on."""
    x, y = make_data((32, 32, 3), 10, batch=64)
    double = dict(dtype="float64")
    ours, start = our_losses("cifar10_cnn", x, y, 64, dict(name="adam", learning_rate=0.001), one_replica, double)
    model = keras.Sequential([
        keras.Input((32, 32, 3)),
        layers.Conv2D(32, (3, 3), activation="relu", **double), layers.MaxPooling2D((2, 2), **double),
        layers.Conv2D(64, (3, 3), activation="relu", **double), layers.MaxPooling2D((2, 2), **double),
        layers.Conv2D(128, (3, 3), activation="relu", **double), layers.MaxPooling2D((2, 2), **double),
        layers.Flatten(**double), layers.Dense(128, activation="relu", **double), layers.Dense(10, **double),
    ])  # fmt: skip
    model.set_weights(start)
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    theirs = keras_losses(model, loss_function, keras.optimizers.Adam(0.001), x, y, 64, compiled=True)
    assert_close(ours, theirs, 1e-5)
