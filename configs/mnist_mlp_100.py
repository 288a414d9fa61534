"""MNIST with a dense net 784-100-10 and plain SGD.

python -m trainers.train --config=configs/mnist_mlp_100.py --workdir=runs/mnist_mlp_100

Test accuracy 0.9345 in 10 s. Two cores of a Xeon with AVX-512, 2026-11-22.
"""

from trainers.config import Config, load_config


def get_config() -> Config:
    config = load_config("mnist_mlp")
    config.model.name = "mlp_784_100_10"
    return config
