"""The LangChain example answers from its passages, with and without a hosted chat model."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "langchain_rag.py"


@pytest.fixture
def ask(minilm_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Run the example as a script and return the lines that it prints."""

    def run(*question: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--model", str(minilm_directory), *question])
        runpy.run_path(str(EXAMPLE), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    monkeypatch.delenv("CHAT_MODEL", raising=False)
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
def test_without_a_chat_model_the_best_sentence_is_quoted(ask: Any, question: str, answer: str, title: str) -> None:
    asked, answered, *sources = ask(question)
    assert asked == question
    assert answer in answered
    assert answered.endswith(f"({title})")
    assert len(sources) == 3
    assert sources[0].startswith(f"  [{title}] ")


def test_a_question_is_optional(ask: Any) -> None:
    assert "Alexander Fleming" in ask()[1]


class ChatServer(BaseHTTPRequestHandler):
    """Answers as OpenAI's chat completions do, and keeps what it was sent."""

    received: ClassVar[list[tuple[str | None, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.received.append((self.headers["Authorization"], request))
        answer = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": request["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "It was Alexander Fleming."},
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep the requests out of the test's output."""


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[ChatServer]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), ChatServer)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_API_BASE", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-example")
    monkeypatch.setattr(ChatServer, "received", [])
    yield ChatServer
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore:The function `init_chat_model` is in beta")  # says langchain 0.2
def test_a_named_chat_model_gets_the_passages_and_its_answer_is_printed(
    ask: Any, chat_server: type[ChatServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_MODEL", "openai:gpt-4o-mini")
    printed = ask("Who discovered penicillin?")
    assert printed[1] == "It was Alexander Fleming."
    [(authorization, request)] = chat_server.received
    assert authorization == "Bearer sk-example"
    assert request["model"] == "gpt-4o-mini"
    system, human = request["messages"]
    assert "Penicillin | Alexander Fleming discovered it" in system["content"]
    assert human["content"] == "Who discovered penicillin?"
