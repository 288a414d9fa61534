"""Published weights: where they are, what their tensors are called, and how they are loaded and saved. Executes no pickle."""

from modelzoo.weights.load import load_weights, save_weights
from modelzoo.weights.names import Names
from modelzoo.weights.published import Published

__all__ = ["Names", "Published", "load_weights", "save_weights"]
