"""A training of the query side alone: questions in, a query encoder in the space of a passage model out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dpr_tiny_retriever.data.questions import read_questions
from dpr_tiny_retriever.data.skipped_records import SkippedRecords
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.encoder import Encoder
from dpr_tiny_retriever.training.distillation import Distillation
from dpr_tiny_retriever.training.fitting import fit
from dpr_tiny_retriever.training.initialisation import with_weights
from dpr_tiny_retriever.training.optimization import compile_model
from dpr_tiny_retriever.training.options import QuerySideRun, RunOptions
from dpr_tiny_retriever.training.query_side_batches import QuestionBatchMaker
from dpr_tiny_retriever.training.query_side_card import write_query_side_card
from dpr_tiny_retriever.training.query_side_model import QueryEncoderModel
from dpr_tiny_retriever.training.query_side_settings import QuerySideSettings
from dpr_tiny_retriever.training.query_side_start import projected_start
from dpr_tiny_retriever.training.resumption import RunState
from dpr_tiny_retriever.training.token_store import TokenStore

_COMPARED = 8  # precomputed vectors that are compared with the passage model's
_LEAST_COSINE = 0.99  # of vectors that half precision keeps apart


def train_query_side(
    files: Sequence[Path],
    output: Path,
    *,
    passage_model: DualEncoder,
    start: Encoder,
    settings: QuerySideSettings | None = None,
    vectors: Path | None = None,
    options: RunOptions | None = None,
) -> QuerySideRun:
    """Teach start the vectors that passage_model gives questions, and write both as a pair folder into output.

    Questions need no passages and no labels (Wang and Lyu 2023, arXiv 2306.11550): files are of data.questions.
    passage_model's vectors of them are computed and kept beside the run's state, or read from the folder vectors (see
    Distillation.precomputed). A killed run goes on when it is started again with the same questions and settings.
    Raises DataError for questions that cannot be read, ValueError where there are fewer than two, where vectors are not
    the passage model's, or where an option cannot be followed; records that cannot be used are logged and counted.
    """
    settings, options = settings or QuerySideSettings(), options or RunOptions()
    if options.strategy is not None:
        raise ValueError("found a strategy of replicas; expected none: the query side is trained on one device")
    skipped = SkippedRecords()
    questions = _read(files, TokenStore(start.tokenizer, settings.batches.max_query_length), skipped)
    folder = options.checkpoints or output / "training"
    targets = _targets(questions, passage_model.query_encoder, folder, vectors)
    start = projected_start(
        start,
        questions.passages,
        targets,
        max_length=settings.batches.max_query_length,
        normalize=passage_model.normalize,
        similarity=passage_model.similarity,
    )
    maker = QuestionBatchMaker(questions, targets, settings, start.tokenizer)
    model = QueryEncoderModel(start, settings, maker.batch_size)
    compile_model(model, settings, maker.total_steps)
    state = RunState(folder / "state.npz", options, identity=_identity(start, maker), dev=None)
    history = fit(model, maker, state, options)
    trained = with_weights(start, model.query_encoder.arrays())
    run = QuerySideRun(
        DualEncoder(trained, passage_model.passage_encoder),
        model.steps_made,
        history,
        len(questions),
        len(maker.held_out),
        agreement(trained, maker),
        agreement(start, maker),
        skipped,
        state.total_seconds,
    )
    run.encoder.save_pretrained(output)
    write_query_side_card(output / "README.md", run, files, settings, options)
    return run


def agreement(encoder: Encoder, maker: QuestionBatchMaker) -> float:
    """Mean cosine of an encoder's vectors of the questions held out to the teacher's; NaN where none are."""
    if not len(maker.held_out):
        return float("nan")
    found = encoder.encode(maker.questions.passages.passages(maker.held_out), show_progress=False)
    lengths = np.maximum(np.linalg.norm(found, axis=1), 1e-12)
    return float(np.mean(np.sum(found * maker.targets(maker.held_out), axis=1) / lengths))


def _read(files: Sequence[Path], store: TokenStore, skipped: SkippedRecords) -> TokenStore:
    for path in files:
        for question in read_questions(path, skipped=skipped):
            store.passages.add_once(None, question)
    if len(store) < 2:  # a batch compares questions with each other
        names = ", ".join(map(str, files)) or "no files"
        raise ValueError(f"found {len(store)} different questions in {names}; expected thousands, and at least two")
    return store


def _targets(questions: TokenStore, teacher: Encoder, folder: Path, precomputed: Path | None) -> NDArray[np.floating]:
    """The teacher's vectors [n, d] of all questions; raises ValueError where the precomputed are another model's."""
    if precomputed is None:
        pair = DualEncoder(teacher, teacher)
        return Distillation(encoder=pair, cache=folder / "teacher").query_vectors(questions.passages)
    vectors = Distillation(precomputed=precomputed).query_vectors(questions.passages)
    if vectors.ndim != 2 or vectors.shape[1] != teacher.embedding_dim:
        raise ValueError(
            f"{precomputed} holds vectors of the shape {vectors.shape}; expected {teacher.embedding_dim} numbers each, "
            "as the passage model has"
        )
    given = vectors[:_COMPARED].astype(np.float32)
    expected = teacher.encode(questions.passages[:_COMPARED], show_progress=False)
    cosines = np.sum(given * expected, axis=1) / (np.linalg.norm(given, axis=1) * np.linalg.norm(expected, axis=1))
    if not cosines.min() >= _LEAST_COSINE:
        raise ValueError(
            f"{precomputed} holds vectors whose cosine to the passage model's is {cosines.min():.2f}; expected vectors "
            "that this model gives the questions"
        )
    return vectors


def _identity(start: Encoder, maker: QuestionBatchMaker) -> str:
    """A digest of all that decides the weights of a run."""
    parts = (start.fingerprint(), maker.settings, maker.digest())
    return hashlib.blake2b(json.dumps([repr(part) for part in parts]).encode(), digest_size=16).hexdigest()
