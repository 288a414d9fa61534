"""Handwritten digits, 8x8 grey, from scikit-learn."""

import numpy as np
import tensorflow_datasets as tfds

_LEVELS = 15  # grey levels 0..16 become 0..240: bytes, and nothing is lost


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,797 images: 1,437 to train, 360 to test, stratified and always the same.

    Source: Alpaydin & Kaynak 1998, Optical recognition of handwritten digits, UCI (its test part, as scikit-learn has it).
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {"image": tfds.features.Image(shape=(8, 8, 1)), "label": tfds.features.ClassLabel(num_classes=10)}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            homepage="https://scikit-learn.org/stable/datasets/toy_dataset.html#digits-dataset",
        )

    def _split_generators(self, dl_manager):
        from sklearn.datasets import load_digits  # once: a data set that is prepared is only read
        from sklearn.model_selection import train_test_split

        images, labels = load_digits(return_X_y=True)
        images = (images.reshape(-1, 8, 8, 1) * _LEVELS).astype(np.uint8)
        indices = np.arange(len(labels))
        train, test = train_test_split(indices, test_size=360, random_state=0, stratify=labels)
        return {name: self._examples(images, labels, part) for name, part in (("train", train), ("test", test))}

    def _examples(self, images, labels, indices):
        for i in indices:
            yield int(i), {"image": images[i], "label": int(labels[i])}

    def _generate_examples(self):
        raise NotImplementedError  # _split_generators gives the examples
