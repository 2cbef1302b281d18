"""scikit-learn's digits: 1,797 pictures of 8x8 pixels."""

import numpy as np
from sklearn.datasets import load_digits


class Digits:
    metric_name = "accuracy"
    input_quantization = (1 / 16, -128)

    def __init__(self, split: str) -> None:
        data = load_digits()
        order = np.random.default_rng(0).permutation(len(data.target))
        mine = order[:1400] if split == "train" else order[1400:]
        self.images = (data.images[mine, None] / 16).astype(np.float32)
        self.labels = data.target[mine].astype(np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        return self.images[index], self.labels[index]

    def metric(self, outputs):
        return float(np.mean(outputs[0].argmax(1) == self.labels[: len(outputs[0])]))
