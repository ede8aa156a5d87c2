"""BERT in PyTorch, written out as onnxruntime's optimiser expects it of an exported model.

Today's transformers exports attention in a form that the optimiser does not recognise, so that the peer would lose its
fused attention. Module names are those of the checkpoints: weights load by name.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn


class Embeddings(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.register_buffer("positions", torch.arange(config.max_position_embeddings)[None], persistent=False)

    def forward(self, ids: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
        positions = self.positions[:, : ids.size(1)]
        words = self.word_embeddings(ids) + self.token_type_embeddings(segments)
        return self.LayerNorm(words + self.position_embeddings(positions))


class Attention(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.head_width = width // self.heads
        self.self = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.output = nn.ModuleDict(
            {"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=config.layer_norm_eps)}
        )

    def _by_head(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        product = self.self[name](hidden)
        return product.view(product.size(0), product.size(1), self.heads, self.head_width).permute(0, 2, 1, 3)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        query, key, value = (self._by_head(name, hidden) for name in ("query", "key", "value"))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(self.head_width)
        weights = torch.softmax(scores + mask, dim=-1)
        context = torch.matmul(weights, value).permute(0, 2, 1, 3).contiguous()
        context = context.view(context.size(0), context.size(1), self.heads * self.head_width)
        return self.output["LayerNorm"](self.output["dense"](context) + hidden)


class Layer(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.intermediate_size)})
        self.output = nn.ModuleDict(
            {
                "dense": nn.Linear(config.intermediate_size, config.hidden_size),
                "LayerNorm": nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps),
            }
        )

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.attention(hidden, mask)
        wide = nn.functional.gelu(self.intermediate["dense"](hidden))
        return self.output["LayerNorm"](self.output["dense"](wide) + hidden)


class Bert(nn.Module):
    """Token ids, mask and segment ids, int64 [b, l] -> one vector for each text, float32 [b, width]."""

    def __init__(self, config: Any, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling
        self.embeddings = Embeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))})
        if pooling == "pooler":
            self.pooler = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.hidden_size)})

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
        hidden = self.embeddings(ids, segments)
        outside = (1.0 - mask.unsqueeze(1).unsqueeze(2).to(torch.float32)) * -10000.0
        for layer in self.encoder["layer"]:
            hidden = layer(hidden, outside)
        if self.pooling == "pooler":
            return torch.tanh(self.pooler["dense"](hidden[:, 0]))
        weights = mask.unsqueeze(-1).to(torch.float32)
        mean = (hidden * weights).sum(1) / weights.sum(1)
        return mean / mean.norm(dim=1, keepdim=True)
