"""Texts of any characters through the adapters of this session."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign.texts import attempt

pytestmark = [
    pytest.mark.langchain,
    pytest.mark.filterwarnings("ignore:Deprecated API features"),  # SQLAlchemy, of farm-haystack
    pytest.mark.filterwarnings("ignore:.* is compared by dot product:UserWarning"),  # LlamaIndex' own store is not used
]


def test_every_adapter_gives_the_vectors_of_the_core_for_any_text(tmp_path: Path) -> None:
    (tmp_path / "attempt").mkdir()
    assert attempt(7, tmp_path / "attempt")["langchain"] > 20
