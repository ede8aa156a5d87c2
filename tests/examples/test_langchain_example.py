"""The LangChain example answers from its passages, offline, and takes any chat model."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import RunnableLambda

from dpr_tiny_retriever.adapters.langchain import TinyDPREmbeddings

pytestmark = pytest.mark.langchain

EXAMPLE = Path(__file__).parents[2] / "examples" / "langchain_rag.py"

Ask = Callable[..., list[str]]


@pytest.fixture
def ask(minilm_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run the example as a script and return the lines that it prints."""

    def run(*question: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--model", str(minilm_directory), *question])
        runpy.run_path(str(EXAMPLE), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


@pytest.mark.parametrize(
    ("question", "answer", "title"),
    [
        ("Who discovered penicillin?", "Alexander Fleming discovered it in London in 1928", "Penicillin"),
        ("How do bees tell each other where flowers are?", "by the waggle dance", "Honey bee"),
        ("Which strings does a violin have?", "to G, D, A and E", "Violin"),
        ("When was the Suez Canal opened?", "It was opened in 1869", "Suez Canal"),
    ],
)
def test_the_answer_quotes_the_sentence_that_holds_it(ask: Ask, question: str, answer: str, title: str) -> None:
    printed_question, printed_answer, *sources = ask(question)
    assert printed_question == question
    assert answer in printed_answer
    assert printed_answer.endswith(f"({title})")
    assert len(sources) == 3
    assert sources[0].startswith(f"  [{title}] ")


def test_a_question_is_optional(ask: Ask) -> None:
    assert "Alexander Fleming" in ask()[1]


def test_a_chat_model_gets_passages_and_question_and_its_answer_is_returned(minilm_directory: Path) -> None:
    example = runpy.run_path(str(EXAMPLE))
    prompts: list[PromptValue] = []

    def answer(prompt: PromptValue) -> AIMessage:
        prompts.append(prompt)
        return AIMessage(content="It was Alexander Fleming.")

    embeddings = TinyDPREmbeddings(minilm_directory)
    result = example["build_chain"](embeddings, RunnableLambda(answer)).invoke("Who discovered penicillin?")
    assert result["answer"] == "It was Alexander Fleming."
    [prompt] = prompts
    system, human = prompt.to_messages()
    assert "Penicillin: Alexander Fleming discovered it" in str(system.content)
    assert human.content == "Who discovered penicillin?"
