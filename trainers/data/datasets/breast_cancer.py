"""Breast cancer in Wisconsin: a table of 30 measurements of cell nuclei, from scikit-learn."""

import numpy as np
import tensorflow_datasets as tfds


class BreastCancer(tfds.core.GeneratorBasedBuilder):
    """569 rows of 30 numbers: 455 to train, 114 to test, stratified and always the same. Classes: malignant, benign.

    Source: Wolberg, Mangasarian, Street & Street 1995, Breast Cancer Wisconsin (Diagnostic), UCI.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "features": tfds.features.Tensor(shape=(30,), dtype=np.float32),
            "label": tfds.features.ClassLabel(names=["malignant", "benign"]),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("features", "label"),
            homepage="https://scikit-learn.org/stable/datasets/toy_dataset.html#breast-cancer-dataset",
        )

    def _split_generators(self, dl_manager):
        from sklearn.datasets import load_breast_cancer  # once: a data set that is prepared is only read
        from sklearn.model_selection import train_test_split

        rows, labels = load_breast_cancer(return_X_y=True)
        train, test = train_test_split(np.arange(len(labels)), test_size=114, random_state=0, stratify=labels)
        return {name: self._examples(rows, labels, part) for name, part in (("train", train), ("test", test))}

    def _examples(self, rows, labels, indices):
        for i in indices:
            yield int(i), {"features": rows[i].astype(np.float32), "label": int(labels[i])}

    def _generate_examples(self):
        raise NotImplementedError  # _split_generators gives the examples
