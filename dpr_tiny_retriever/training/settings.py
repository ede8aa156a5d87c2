"""What a training run is told: one record, in code, in a recipe file and on the command line."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

Precision = Literal["float32", "bfloat16", "float16"]
Record = TypeVar("Record")

#: What a record's values are annotated with and have to be, beside numbers; all others are texts.
_KINDS: dict[str, tuple[type, str]] = {
    "int": (int, "a whole number"),
    "bool": (bool, "true or false"),
    "dict[str, Any]": (dict, "names with their values"),
}


@dataclass(frozen=True)
class Settings:
    """The settings of a run; the defaults are those of the published tiny pairs where they have a value.

    Raises ValueError where a value cannot work.
    """

    epochs: int = 40
    steps: int | None = None
    """Optimisation steps in all; replaces epochs."""
    batch_size: int = 128
    """Questions in one global batch, over all replicas."""
    hard_negatives: int = 1
    """Passages beside the positive that each question brings into the batch; questions with fewer bring fewer."""
    chunk_size: int | None = None
    """Gradient caching (Gao et al. 2021): texts that are encoded at once; None encodes the batch whole."""
    max_query_length: int = 64
    max_passage_length: int = 156
    short_passages: int | None = None
    """Tokens to which passages are cut before short_until, for faster early steps."""
    short_until: float = 0.5
    """The share of the steps that short_passages holds for."""
    words_only: bool = False
    """Train the embeddings and the last normalisation alone, for speed, while the layers of a new model still pass on
    what they are given: as a bag of words."""

    learning_rate: float = 2e-5
    warmup: float = 0.1
    """The share of the steps in which the learning rate rises; then it falls linearly to zero."""
    warmup_steps: int | None = None
    """These steps instead of a share."""
    weight_decay: float = 0.01
    """Of kernels and embeddings; biases and layer norms have none."""
    beta_2: float = 0.999
    epsilon: float = 1e-8
    clip_norm: float | None = 1.0
    """The longest global gradient."""
    dropout: float = 0.1
    dropout_inside: bool = False
    """Dropout also where BERT has it, not only on the vector."""
    word_dropout: float = 0.0
    """The share of word pieces that texts are without, others at each step: against learning the data by heart."""
    precision: Precision = "float32"
    """Of the encoders' products; weights, loss and optimiser stay float32."""

    temperature: float | None = None
    """Similarities are divided by this; None: 1 for the dot product, 0.05 for the cosine."""
    symmetric: bool = False
    """Also rank the questions of the batch for each positive."""
    contrastive_weight: float = 1.0
    match_weight: float = 0.0
    """Of 1 - cosine to the teacher's vectors, reduced by a projection where they are wider."""
    projection_steps: int = 0
    """Steps in which that projection, principal components at first, learns to rank as the teacher does."""
    kl_weight: float = 0.0
    """Of the Kullback-Leibler divergence from the teacher's scores over the batch, in both directions."""
    margin_weight: float = 0.0
    """Of the squared error of the score margins between positives and negatives to the teacher's."""
    lexical_weight: float = 0.0
    """BM25 scores in the batch times this are added to the teacher's scores (after temperature) for kl_weight."""
    queue: int = 0
    """Passages of former batches that the current questions are scored against too."""
    topics: int = 0
    """Batches of this many topics: random examples and those nearest by the teacher. 0: random examples."""
    topic_pool: int = 48
    """Nearest passages of which a topic's examples are drawn."""

    seed: int = 0
    evaluate_every: int | None = None
    """Steps between dev evaluations; None: once an epoch."""
    patience: int | None = None
    """Dev evaluations without a better one after which training stops, and the best weights are taken."""
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        at_least_one = ("epochs", "steps", "batch_size", "chunk_size", "evaluate_every", "patience", "topic_pool")
        for name in at_least_one:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; expected 1 or more")
        for name in (
            "hard_negatives",
            "queue",
            "topics",
            "weight_decay",
            "checkpoint_minutes",
            "warmup_steps",
            "projection_steps",
        ):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} is {value}; expected 0 or more")
        for name in ("max_query_length", "max_passage_length", "short_passages"):
            value = getattr(self, name)
            if value is not None and value < 3:
                raise ValueError(f"{name} is {value}; expected 3 tokens or more, two of which are special")
        for name in ("learning_rate", "temperature", "clip_norm", "epsilon"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; expected more than 0")
        for name in ("warmup", "short_until", "dropout", "word_dropout", "beta_2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 or more, and less than 1")
        weights = [getattr(self, f"{name}_weight") for name in ("contrastive", "match", "kl", "margin")]
        if min(*weights, self.lexical_weight) < 0 or not any(weights):
            raise ValueError(f"the weights of the losses are {weights}; expected 0 or more, and one above 0")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision is {self.precision!r}; expected {', '.join(get_args(Precision))}")

    @property
    def distils(self) -> bool:
        """Whether a teacher is needed."""
        return bool(self.match_weight or self.kl_weight or self.margin_weight or self.topics or self.projection_steps)

    def record(self) -> dict[str, Any]:
        """The settings as plain values, for a file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any], where: Path | str) -> Settings:
        """Settings of a record that was read from somewhere; raises ValueError as from_plain does."""
        return from_plain(cls, record, where)


def from_plain(kind: type[Record], record: Any, where: Path | str) -> Record:
    """A dataclass of numbers and texts from a record as YAML, JSON or a command line give it.

    Raises ValueError that names the place and what is unknown, missing or of another type there.
    """
    if not isinstance(record, dict):
        raise ValueError(f"{where}: found {record!r:.80}; expected names with their values")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = [str(name) for name in record if name not in fields]
    if unknown:
        raise ValueError(f"{where}: found {', '.join(unknown)}; expected some of {', '.join(fields)}")
    missing = [name for name, field in fields.items() if name not in record and field.default is dataclasses.MISSING]
    if missing:
        raise ValueError(f"{where}: found no {', '.join(missing)}; expected a value")
    try:
        return kind(**{name: _value(value, name, str(fields[name].type)) for name, value in record.items()})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _value(value: Any, name: str, annotation: str) -> Any:
    """The value as what it is annotated with; a number may be written as a text: 1e-3 is none for YAML."""
    kind, _, none = annotation.partition(" | ")
    if value is None and none:
        return None
    expected, described = _KINDS.get(kind, (str, "a text"))
    if kind == "float":
        described = "a number"
        with contextlib.suppress(TypeError, ValueError):
            if not isinstance(value, bool):
                return float(value)
    elif type(value) is expected:
        return value
    raise ValueError(f"{name} is {value!r:.80}; expected {described}")
