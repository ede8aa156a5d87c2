"""The Keras model that teaches a query encoder a teacher's vectors of questions."""

from __future__ import annotations

import tensorflow as tf

from dpr_tiny_retriever.encoder import Encoder
from dpr_tiny_retriever.training.losses import cosine_distance, kl_divergence
from dpr_tiny_retriever.training.optimization import OptimizedModel
from dpr_tiny_retriever.training.query_side_batches import QuestionBatch
from dpr_tiny_retriever.training.query_side_settings import QuerySideSettings
from dpr_tiny_retriever.training.trainable_encoder import TrainableEncoder
from dpr_tiny_retriever.types import Tensor

#: A batch is encoded in so many parts of like length, each padded to its own longest text.
_PARTS = 2


class QueryEncoderModel(OptimizedModel):
    """One encoder, trained on the batches of a tf.data.Dataset by fit()."""

    def __init__(self, start: Encoder, settings: QuerySideSettings, batch_size: int) -> None:
        """A model that begins with the weights of start."""
        super().__init__(name="query_side")
        self.query_encoder = TrainableEncoder(
            start.config,
            start.weights,
            compute_dtype=settings.precision,
            compiled=settings.compiled,
            name="query",
        )
        self.settings = settings
        self._parts = min(_PARTS, batch_size)
        self.built = True

    def train_step(self, batch: QuestionBatch) -> dict[str, Tensor]:
        """Make one optimization step, and return the losses."""
        tensors = [variable.value for variable in self.trainable_variables]
        with tf.GradientTape() as tape:
            vectors = self.query_encoder.forward_sorted(batch["queries"], self._parts, None)
            loss, report = self.objective(vectors, batch["targets"])
            scaled = self.optimizer.scale_loss(loss)
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(scaled, tensors)]
        self.optimizer.apply(gradients, self.trainable_variables)
        return report

    def objective(self, vectors: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the losses of vectors [b, d] with targets [b, d] in unit length, and each of them."""
        chosen = self.settings.losses
        vectors = tf.math.l2_normalize(vectors, -1, 1e-24)
        everything = tf.ones(tf.shape(vectors)[0], tf.bool)
        match = cosine_distance(vectors, targets, everything)
        scores = score_match(vectors, targets, chosen.temperature)
        total = chosen.embedding_match * match + chosen.score_match * scores
        return total, {"loss": total, "embedding_match": match, "score_match": scores}


def score_match(vectors: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Mean KL divergence of each question's scores against the targets [b, d] of all others from the teacher's.

    The targets stand for the passages that a question is compared with: where they are near, errors matter most.
    """
    others = ~tf.eye(tf.shape(targets)[0], dtype=tf.bool)  # [b, b]: a target is no passage of its own question
    teacher, student = (tf.matmul(x, targets, transpose_b=True) / temperature for x in (targets, vectors))  # [b, b]
    return kl_divergence(teacher, student, others)
