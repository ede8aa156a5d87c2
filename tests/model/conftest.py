"""The model that the tests of the native backend share."""

from __future__ import annotations

import pytest
from native_models import model

from dpr_tiny_retriever.model.config import BertConfig, BertWeights


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[BertConfig, BertWeights]:
    """Two layers, 128 wide, heads of 64: every build can run it."""
    return model(tmp_path_factory.mktemp("model"))
