"""BERT's elementwise operations fused by XLA, for faster training: one kernel for the forward pass, one for gradients.

Matrix products are left to TensorFlow, which is faster at them than XLA on a CPU. Kernels compute in float32 for inputs
of any floating dtype. The backward pass recomputes intermediate results from the inputs instead of storing them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from dpr_tiny_retriever.model.bert_tensorflow import Elementwise, activate
from dpr_tiny_retriever.model.config import BertConfig, LayerNorm
from dpr_tiny_retriever.types import Tensor


class CompiledElementwise(Elementwise):
    """Elementwise without dropout, as XLA kernels, which are compiled once for each input shape."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)

        def biased(rows: Tensor, bias: Tensor) -> Tensor:
            return rows + bias

        def activated(rows: Tensor, bias: Tensor) -> Tensor:
            return activate(config.activation, rows + bias)

        def normalized(scale: Tensor, offset: Tensor, *terms: Tensor) -> Tensor:
            total = tf.add_n([tf.broadcast_to(term, tf.shape(terms[0])) for term in terms])  # [t, w]
            centred = total - tf.reduce_mean(total, axis=-1, keepdims=True)
            variance = tf.reduce_mean(centred**2, axis=-1, keepdims=True)
            return centred * tf.math.rsqrt(variance + config.layer_norm_eps) * scale + offset

        self._biased, self._activated, self._normalized = compiled(biased), compiled(activated), compiled(normalized)

    def biased(self, rows: Tensor, bias: Tensor) -> Tensor:
        """Add the bias [c] to rows [t, c]."""
        return self._biased(rows, bias)

    def activated(self, rows: Tensor, bias: Tensor) -> Tensor:
        """Add the bias [c] to rows [t, c] and apply the activation."""
        return self._activated(rows, bias)

    def added_and_normalized(self, norm: LayerNorm, residual: Tensor, rows: Tensor, bias: Tensor) -> Tensor:
        """Return LayerNorm(residual + rows + bias) [t, w]; residual and rows are [t, w], bias is [w]."""
        return self._normalized(norm.scale, norm.offset, residual, rows, bias)

    def normalized(self, norm: LayerNorm, rows: Tensor) -> Tensor:
        """Layer-normalize rows [t, w]."""
        return self._normalized(norm.scale, norm.offset, rows)


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compile a function and its gradient with XLA: both compute in float32, and keep the dtype of the inputs."""

    def in_float32(*inputs: Tensor) -> Tensor:
        return tf.cast(function(*(tf.cast(x, tf.float32) for x in inputs)), inputs[0].dtype)

    def gradients(upstream: Tensor, *inputs: Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = in_float32(*inputs)
        return tape.gradient(output, inputs, upstream)

    forward, backward = (tf.function(f, jit_compile=True, autograph=False) for f in (in_float32, gradients))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def kernel(*inputs: Tensor) -> tuple[Tensor, Callable[[Tensor], Any]]:
        return forward(*inputs), lambda upstream: backward(upstream, *inputs)

    return kernel  # type: ignore[no-any-return]
