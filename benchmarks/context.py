"""What every section of the benchmark works with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import texts
from models import Model, prepare
from peers import BEFORE, OURS, PeerError, Peers
from tqdm import tqdm


@dataclass
class Context:
    """The options of a run, its peers, models and texts, and the list of what could not be measured."""

    peers: Peers
    work: Path
    rounds: int
    passages: int
    questions: int
    largest: int
    model_names: list[str]
    peer_names: list[str]
    missing: list[str] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)
    _models: dict[str, Model] = field(default_factory=dict)

    def write_texts(self) -> None:
        """Write the files of texts that the workers read."""
        tokenizer = texts.load_tokenizer()
        record = {
            "passages": texts.passages(self.passages, tokenizer),
            "questions": [
                question
                for evenly in (False, True)
                for question in texts.questions(self.questions, tokenizer, evenly=evenly)
            ],
        }
        self.texts_file.write_text(json.dumps(record), encoding="utf-8")
        short = {"passages": texts.sentences(5000, tokenizer), "questions": []}
        self.short_texts_file.write_text(json.dumps(short), encoding="utf-8")

    @property
    def texts_file(self) -> Path:
        """Passages and questions of realistic lengths, then as many questions with every length equally often."""
        return self.work / "texts.json"

    @property
    def short_texts_file(self) -> Path:
        """Short passages, for long streams."""
        return self.work / "short.json"

    def model(self, name: str) -> Model:
        """Return a pair, which is written at the first call."""
        if name not in self._models:
            model = self._models[name] = prepare(name, self.work)
            self.peers.call(OURS, "save", source=str(model.source), saved=str(model.saved))
        return self._models[name]

    def load(self, model: Model, names: Sequence[str]) -> dict[str, str]:
        """Let these peers load a model; returns those that could, each with how it runs the model."""
        ready = {}
        for name in names:
            tqdm.write(f"{model.name}: {name} loads")
            folders = {"source": str(model.source), "saved": str(model.saved), "texts": str(self.texts_file)}
            try:
                ready[name] = self.peers.call(name, "load", **folders)
                about = self.peers.call(name, "about")
                self.about |= {f"{what} ({name})": value for what, value in about.items()} if name == BEFORE else about
            except PeerError as error:
                self.missing.append(f"{name}, {model.name}: {error}")
        return ready


def in_turn(names: Sequence[str], turn: int) -> list[str]:
    """Rotate the names, so that another one is first in each round."""
    first = turn % len(names)
    return [*names[first:], *names[:first]]


def save(path: Path, record: Any) -> None:
    path.write_text(json.dumps(record, indent=1), encoding="utf-8")
