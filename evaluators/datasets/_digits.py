"""The handwritten digits that come with scikit-learn."""

from typing import Any

import numpy as np
from sklearn.datasets import load_digits


def load_images() -> tuple[np.ndarray, np.ndarray]:
    """Images [1797, 8, 8] int64 in grey levels 0 to 16, and their digits [1797] int64."""
    bunch: Any = load_digits()
    images, digits = np.asarray(bunch["images"]), np.asarray(bunch["target"])
    return images.astype(np.int64), digits.astype(np.int64)
