"""Put a question encoder of two layers before an index of a larger model's vectors, and see time and hits of both.

    pip install "dpr-tiny-retriever[eval]"
    python examples/fast_questions.py path/to/all-MiniLM-L6-v2 encoders/minilm-questions path/to/beir-folder

The repository has the question encoder for all-MiniLM-L6-v2; for another model,
`dpr-tiny train --query-side-only --passage-model MODEL QUESTIONS` makes one. The index is made once, with the larger
model; then it is opened with either encoder for the questions. Without a BEIR folder some topics of Python's reference
are indexed, and a question is asked of each by its name.
"""

import argparse
import tempfile
import time
from pathlib import Path

from dpr_tiny_retriever import DualEncoder
from dpr_tiny_retriever.data.load_dataset import load_dataset
from dpr_tiny_retriever.data.text_files import read_python_reference
from dpr_tiny_retriever.retrieval.passage_index import IndexedPassage, PassageIndex
from dpr_tiny_retriever.types import SearchMode

KS = (1, 5, 20)
Questions = list[tuple[str, set[str]]]  # a question, and the ids of the passages that answer it


def main(
    passage_model: str, question_encoder: str, data: Path | None = None, topics: int = 200
) -> dict[str, list[float]]:
    """Print milliseconds a question and hits of both question encoders; return the hits."""
    passages, questions = read_reference(topics) if data is None else read_beir(data)
    own = DualEncoder.from_pretrained(passage_model)
    fast = DualEncoder.from_pretrained(query_model=question_encoder, passage_model=passage_model)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.sqlite"
        with PassageIndex(path, own) as index:
            index.add(passages)
        print(f"{len(passages)} passages, {len(questions)} questions; vectors alone, then with BM25")
        for name, encoder in (("its own questions", own), ("fast questions", fast)):
            milliseconds = time_of_a_question(encoder, [question for question, _ in questions])
            with PassageIndex(path, encoder) as index:  # the same file: its vectors are of the passages' side
                dense, blend = hits(index, questions, "dense"), hits(index, questions, "blend")
            shown = "   ".join(" ".join(f"{share:.3f}" for share in shares) for shares in (dense, blend))
            print(f"{name:18} {milliseconds:6.2f} ms a question   hit@1/5/20 {shown}")
            found[name] = dense
    return found


def hits(index: PassageIndex, questions: Questions, mode: SearchMode) -> list[float]:
    """The share of questions that have an answer among the first k."""
    ranks = []
    for question, answers in questions:
        ids = [found.passage.id for found in index.search(question, max(KS), mode=mode)]
        ranks.append(next((rank for rank, id in enumerate(ids, start=1) if id in answers), max(KS) + 1))
    return [sum(rank <= k for rank in ranks) / len(ranks) for k in KS]


def time_of_a_question(encoder: DualEncoder, questions: list[str]) -> float:
    """The median latency in milliseconds of encoding a single question, over at most 100 questions."""
    encoder.warm_up(bulk=False)
    times = []
    for question in questions[:100]:
        start = time.perf_counter()
        encoder.encode_queries([question])
        times.append(1000 * (time.perf_counter() - start))
    return sorted(times)[len(times) // 2]


def read_beir(data: Path) -> tuple[list[IndexedPassage], Questions]:
    """The passages, questions and judgements of a BEIR folder."""
    dataset = load_dataset(data, protocol="beir")
    passages = [
        IndexedPassage(str(row), passage.title or "", passage.text) for row, passage in enumerate(dataset.corpus)
    ]
    relevant = dataset.relevant or []
    answers = [{str(row) for row, grade in rows.items() if grade > 0} for rows in relevant]
    return passages, list(zip(dataset.queries, answers, strict=True))


def read_reference(topics: int) -> tuple[list[IndexedPassage], Questions]:
    """Topics of Python's language reference, the first lines of each, with a question of its name."""
    chosen = read_python_reference()[:topics]
    passages = [IndexedPassage(text.title, "", text.content[:500]) for text in chosen]
    return passages, [(f"what is {text.title.replace('-', ' ')} in python", {text.title}) for text in chosen]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passage_model")
    parser.add_argument("question_encoder")
    parser.add_argument("data", type=Path, nargs="?")
    arguments = parser.parse_args()
    main(arguments.passage_model, arguments.question_encoder, arguments.data)
