"""What no BERT can have is refused by its configuration."""

from __future__ import annotations

from typing import Any

import pytest

from dpr_tiny_retriever.model.config import ACTIVATIONS, Activation, BertConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "mish"}, "hidden_act is 'mish'; expected one of gelu, gelu_new, gelu_pytorch_tanh, relu, silu"),
        ({"pooling": "max"}, "pooling is 'max'; expected one of pooler, cls, mean"),
        ({"hidden_size": 100}, "hidden_size 100 is no multiple of num_attention_heads 12; expected the configuration"),
        ({"hidden_size": 0}, "hidden_size is 0; expected at least 1"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0; expected at least 1"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1; expected at least 0"),
        ({"projection_dim": -1}, "projection_dim is -1; expected at least 0"),
        ({"max_position_embeddings": 0}, "max_position_embeddings is 0; expected at least 1"),
        ({"layer_norm_eps": -1.0}, "layer_norm_eps is -1.0; expected a finite number of at least 0"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan; expected a finite number of at least 0"),
        ({"layer_norm_eps": float("inf")}, "layer_norm_eps is inf; expected a finite number of at least 0"),
    ],
)
def test_a_value_that_no_bert_can_have_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        BertConfig(**changes)


def test_every_activation_has_a_name() -> None:
    assert set(ACTIVATIONS.values()) == set(Activation)
    assert BertConfig(hidden_act="swish").activation == Activation.SILU


def test_two_layers_of_width_128_cost_1() -> None:
    assert BertConfig(num_hidden_layers=2, hidden_size=128, num_attention_heads=2).relative_cost == 1
    assert BertConfig(num_hidden_layers=12, hidden_size=384).relative_cost == 54
