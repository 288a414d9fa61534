"""Fashion-MNIST with the convolutional net of the PyTorch examples, SGD with momentum.

python -m trainers.train --config=configs/fashion_mnist_cnn.py --workdir=runs/fashion_mnist_cnn
"""

from trainers.config import Config, load_config


def get_config() -> Config:
    config = load_config("mnist_cnn")
    config.data.name = "fashion_mnist"
    return config
