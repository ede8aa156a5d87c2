"""The model card of a training run: what it was trained on and how, what it measured, how to use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpr_tiny_retriever.data.examples import Broken
from dpr_tiny_retriever.dual_encoder import DualEncoder
from dpr_tiny_retriever.training.callbacks import DevScore
from dpr_tiny_retriever.training.settings import Settings


@dataclass(frozen=True)
class DataUsed:
    """One source of examples: how many it gave, how many records of it could not be used, and a digest of them."""

    name: str
    examples: int
    broken: int
    digest: str


def write_card(
    path: Path,
    *,
    pair: DualEncoder,
    tied: bool,
    settings: Settings,
    start: str,
    teacher: str | None,
    data: Sequence[DataUsed],
    dev_data: Sequence[DataUsed],
    dev: Sequence[DevScore],
    broken: Broken,
    steps: int,
    seconds: float,
    num_truncated: tuple[int, int],
    replicas: int,
    licence: str | None,
    versions: Mapping[str, str],
) -> None:
    """Write README.md as the hub shows it."""
    encoder = pair.query_encoder
    config = encoder.config
    rows = _size(pair.passage_encoder) if tied else _size(encoder) + _size(pair.passage_encoder)
    sections = [
        _front(licence),
        f"# {path.parent.resolve().name}",
        "A pair of BERT encoders for dense passage retrieval, one for queries and one for passages, trained with "
        "[dpr-tiny-retriever](https://pypi.org/project/dpr-tiny-retriever/).",
        _table(
            ("", ""),
            [
                (
                    "layers, width, heads",
                    f"{config.num_hidden_layers}, {config.hidden_size}, {config.num_attention_heads}",
                ),
                ("vectors", f"{pair.embedding_dim} floats{', unit length' if pair.normalize else ''}"),
                ("compared by", pair.similarity),
                ("pooling", config.pooling),
                ("parameters", f"{rows:,}{', one encoder for both sides' if tied else ', both sides'}"),
                ("longest query, passage", f"{encoder.max_length}, {pair.passage_encoder.max_length} tokens"),
            ],
        ),
        "## Training data",
        _table(
            ("file", "examples", "left out", "SHA-256 of the examples"),
            [(used.name, f"{used.examples:,}", f"{used.broken:,}", f"`{used.digest[:16]}`") for used in data],
        ),
        f"Cut to the longest length: {num_truncated[0]:,} queries and {num_truncated[1]:,} passages.",
        *([_left_out(broken)] if broken.count else []),
        "## Training",
        f"Started from: {start}. {steps:,} steps of {settings.batch_size} questions on {replicas} "
        f"{'replica' if replicas == 1 else 'replicas'}, {seconds / 3600:.2f} hours of wall time. "
        + (f"Teacher: {teacher}." if teacher else "No teacher."),
        _table(("setting", "value"), [(name, f"`{value}`") for name, value in settings.record().items()]),
        "## Evaluation",
        *_evaluation(dev_data, dev),
        "## Use",
        _use(pair),
        "## Versions",
        ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
    ]
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _front(licence: str | None) -> str:
    lines = ["---", *([f"license: {licence}"] if licence else []), "library_name: dpr-tiny-retriever"]
    lines += ["pipeline_tag: feature-extraction", "tags:", "- dense-passage-retrieval", "- sentence-transformers"]
    return "\n".join([*lines, "---"]) + ("" if licence else "\n\nLicence: not stated by whoever trained this pair.")


def _left_out(broken: Broken) -> str:
    lines = [
        f"Records that could not be used: {broken.count:,}. The first:",
        "",
        *(f"- {line}" for line in broken.first[:5]),
    ]
    return "\n".join(lines)


def _evaluation(dev_data: Sequence[DataUsed], dev: Sequence[DevScore]) -> list[str]:
    if not dev:
        return ["Not measured in this run; `dpr-tiny evaluate --model FOLDER --data ...` measures and adds its tables."]
    best = min(dev, key=lambda score: score.average_rank)
    names = ", ".join(used.name for used in dev_data)
    rows = [
        [
            f"{score.step:,}{' *' if score is best else ''}",
            f"{score.average_rank:.2f}",
            *map("{:.4f}".format, score.hits.values()),
        ]
        for score in dev
    ]
    return [
        f"On {names}: the rank of each question's positive among all positives and hard negatives. "
        "The weights are those of the step with the star.",
        _table(("step", "average rank", *(f"hit@{k}" for k in best.hits)), rows),
    ]


def _use(pair: DualEncoder) -> str:
    metric = {"dot": "dot_product", "cosine": "cosine"}[pair.similarity]
    return f"""Python:

```python
from dpr_tiny_retriever import DualEncoder

encoder = DualEncoder.from_pretrained("FOLDER")
scores = encoder.encode_queries(["a question"]) @ encoder.encode_passages([("title", "text")]).T
```

Haystack 2 and 3:

```python
from haystack_integrations.components.embedders.dpr_tiny import TinyDPRDocumentEmbedder, TinyDPRTextEmbedder

query_embedder, document_embedder = TinyDPRTextEmbedder("FOLDER"), TinyDPRDocumentEmbedder("FOLDER")
```

farm-haystack 1.26:

```python
from dpr_tiny_retriever.adapters.farm_haystack import TinyDPRRetriever
from haystack.document_stores import FAISSDocumentStore

store = FAISSDocumentStore(embedding_dim={pair.embedding_dim}, similarity="{metric}")
retriever = TinyDPRRetriever(store, model="FOLDER")
```

LangChain:

```python
from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings

embeddings = TinyDPREmbeddings("FOLDER")
```

Transformers and sentence-transformers load `FOLDER/query_encoder` and `FOLDER/passage_encoder`; a passage with a title
is the pair (title, text):

```python
from sentence_transformers import SentenceTransformer

queries = SentenceTransformer("FOLDER/query_encoder").encode(["a question"])
passages = SentenceTransformer("FOLDER/passage_encoder").encode([("title", "text")])
```"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _size(encoder: Any) -> int:
    def count(part: Any) -> int:
        if isinstance(part, tuple):
            return sum(map(count, part))
        return 0 if part is None else int(part.size)

    return count(encoder.weights)
