"""CIFAR-10 with the convolutional net of the Keras tutorials, Adam.

python -m trainers.train --config=configs/cifar10_cnn.py --workdir=runs/cifar10_cnn
"""

from trainers.config import Config


def get_config() -> Config:
    return Config(
        data=dict(name="cifar10"),
        model=dict(name="cifar10_cnn"),
        optimizer=dict(name="adam", learning_rate=1e-3),
        batch_size=64,
        epochs=10,
    )
