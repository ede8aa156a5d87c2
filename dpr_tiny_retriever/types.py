"""The names that the public signatures are written in."""

from __future__ import annotations

import os
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Side: TypeAlias = Literal["query", "passage"]
Pooling: TypeAlias = Literal["pooler", "cls", "mean"]
Similarity: TypeAlias = Literal["dot", "cosine"]
Precision: TypeAlias = Literal["float32", "bfloat16"]
#: How an evaluation compares vectors; the last two are also a model's Similarity.
Metric: TypeAlias = Literal["l2", "dot", "cosine"]
IndexKind: TypeAlias = Literal["exact", "hnsw", "ivf"]
DatasetProtocol: TypeAlias = Literal["dpr-dev", "beir", "answers"]
#: By vectors and words together, by vectors alone, or by words alone.
SearchMode: TypeAlias = Literal["blend", "dense", "bm25"]
BackendName: TypeAlias = Literal["auto", "native", "tensorflow", "numpy"]

#: A preset, a folder or a hub id; None is the bundled pair.
Model: TypeAlias = "str | os.PathLike[str] | None"

Array: TypeAlias = NDArray[np.float32]
#: Vectors of n texts, float32 [n, embedding_dim].
Vectors: TypeAlias = NDArray[np.float32]
#: A numpy array, tf.Tensor or tf.Variable: TensorFlow ships no types.
Tensor: TypeAlias = Any
