"""MNIST with the convolutional net of the PyTorch examples, SGD with momentum.

python -m trainers.train --config=configs/mnist_cnn.py --workdir=runs/mnist_cnn
"""

from trainers.config import Config


def get_config() -> Config:
    return Config(
        data=dict(name="mnist"),
        model=dict(name="mnist_cnn"),
        optimizer=dict(name="sgd", learning_rate=0.001, momentum=0.9),
        batch_size=64,
        epochs=10,
    )
