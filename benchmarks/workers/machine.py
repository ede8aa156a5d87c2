"""The processor's peak: products of single-precision matrices by numpy."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits
from workers.inputs import seconds

SIZE = 1024


class Worker:
    def __init__(self, cores: int) -> None:
        threadpool_limits(cores)
        rng = np.random.default_rng(0)
        self.left, self.right = rng.random((2, SIZE, SIZE), np.float32)
        self.product = np.empty_like(self.left)

    def about(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def peak(self, times: int = 40) -> float:
        """Return floating-point operations a second, by the fastest of some products."""
        spent = [seconds(lambda: np.matmul(self.left, self.right, out=self.product)) for _ in range(times)]
        return 2 * SIZE**3 / min(spent)
