"""Fashion-MNIST with a dense net 784-128-10 and plain SGD.

python -m trainers.train --config=configs/fashion_mnist_mlp.py --workdir=runs/fashion_mnist_mlp

Test accuracy 0.8410 in 9 s. Two cores of a Xeon with AVX-512, 2026-11-22.
"""

from trainers.config import Config, load_config


def get_config() -> Config:
    config = load_config("mnist_mlp")
    config.data.name = "fashion_mnist"
    return config
