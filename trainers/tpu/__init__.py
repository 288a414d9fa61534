"""Does a training step compile for a TPU, and does it fit? Asked of the TPU's own compiler, on a machine without a TPU."""
