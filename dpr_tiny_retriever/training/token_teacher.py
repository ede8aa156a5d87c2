"""A teacher's vectors of every token, for a student that has its vocabulary: many targets a text instead of one."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.encoder import Encoder
from dpr_tiny_retriever.model.batching import TokenBatch
from dpr_tiny_retriever.model.bert_tensorflow import Elementwise, attended, token_vectors
from dpr_tiny_retriever.model.tree import tree_map
from dpr_tiny_retriever.training.compiled_elementwise import CompiledElementwise
from dpr_tiny_retriever.training.losses import TokenMatch
from dpr_tiny_retriever.types import Tensor, Vectors


class TokenTeacher:
    """Runs the teacher on the tokens of a batch as the student reads them, cut and without the words left out."""

    def __init__(self, loss: TokenMatch, *, precision: str, compiled: bool) -> None:
        """Load the teacher of the loss."""
        encoder = Encoder.from_pretrained(loss.teacher, side="passage")
        self.encoder = encoder
        #: What reduces its vectors to the student's width [t, d]; None where they have it.
        self.components: Vectors | None = None
        self._every = round(1 / loss.share)
        config = dataclasses.replace(encoder.config, normalize=False)
        self._ops: Elementwise = CompiledElementwise(config) if compiled else Elementwise(config)
        self._weights = tree_map(lambda x: tf.Variable(tf.cast(x, precision), trainable=False), encoder.weights)

    def require_student(self, student: DualEncoder, *, reduced: bool) -> None:
        """Raise ValueError unless the teacher reads the same tokens, and both take the mean of their vectors.

        reduced says whether the teacher's vectors will be reduced to the student's width.
        """
        for side in (student.query_encoder, student.passage_encoder):
            for encoder, name in ((side, "student"), (self.encoder, "teacher")):
                if encoder.config.pooling != "mean" or encoder.weights.projection is not None:
                    raise ValueError(f"losses.token_match: the {name}'s vector is not the mean of its tokens' vectors")
            if side.tokenizer.tokenizer.get_vocab() != self.encoder.tokenizer.tokenizer.get_vocab():
                raise ValueError("losses.token_match: the teacher has another vocabulary; expected the student's")
        if not reduced and student.embedding_dim != self.encoder.embedding_dim:
            raise ValueError(
                f"losses.token_match: the teacher's vectors have {self.encoder.embedding_dim} numbers, the student's "
                f"{student.embedding_dim}; expected distillation beside it, which reduces them"
            )

    def distance(self, texts: TokenBatch, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of 1 - cosine of some texts' tokens [b, l, d] to the teacher's, and how many tokens they have."""
        some = TokenBatch(*(part[:: self._every] for part in texts))
        weights = tree_map(tf.convert_to_tensor, self._weights)
        found = tf.cast(token_vectors(weights, self._ops, some, weights.layers), tf.float32)  # [b, l, t]
        wanted = found if self.components is None else tf.tensordot(found, self.components, 1)  # [b, l, d]
        given = tf.cast(tokens[:: self._every], tf.float32)
        wanted, given = (tf.math.l2_normalize(x, -1, 1e-24) for x in (tf.stop_gradient(wanted), given))
        counted = tf.cast(attended(some), tf.float32)  # [b, l]
        return tf.reduce_sum((1 - tf.reduce_sum(wanted * given, -1)) * counted), tf.reduce_sum(counted)
