"""What is known of each published pair, as data."""

from __future__ import annotations

from dataclasses import dataclass

from dpr_tiny_retriever.types import Pooling, Side, Similarity

#: Lengths in tokens, special tokens included, of a model that states none (Karpukhin et al. 2020 use 256 for both;
#: these are the lengths of the published tiny pairs).
DEFAULT_MAX_LENGTH: dict[Side, int] = {"query": 64, "passage": 156}


@dataclass(frozen=True)
class Preset:
    """A pair of models on the hub, and what their files do not say of how to run them."""

    name: str
    query_model: str
    passage_model: str
    max_query_length: int
    max_passage_length: int
    pooling: Pooling
    text_segment: int
    """Segment id of a text that follows a title: 1 as BERT was pre-trained, 0 as facebookresearch/DPR does."""
    similarity: Similarity
    license: str

    def model(self, side: Side) -> str:
        return self.query_model if side == "query" else self.passage_model

    def max_length(self, side: Side) -> int:
        return self.max_query_length if side == "query" else self.max_passage_length


def _nlpconnect(name: str, architecture: str) -> Preset:
    return Preset(
        name=name,
        query_model=f"nlpconnect/dpr-question_encoder_bert_uncased_{architecture}",
        passage_model=f"nlpconnect/dpr-ctx_encoder_bert_uncased_{architecture}",
        max_query_length=64,
        max_passage_length=156,
        pooling="pooler",
        text_segment=1,
        similarity="dot",
        license="apache-2.0",
    )


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _nlpconnect("nlpconnect-L2", "L-2_H-128_A-2"),
        _nlpconnect("nlpconnect-L12", "L-12_H-128_A-2"),
        Preset(
            name="facebook-single-nq",
            query_model="facebook/dpr-question_encoder-single-nq-base",
            passage_model="facebook/dpr-ctx_encoder-single-nq-base",
            max_query_length=64,
            max_passage_length=256,
            pooling="cls",
            text_segment=0,
            similarity="dot",
            license="cc-by-nc-4.0",
        ),
    )
}


def preset_of(hub_id: str) -> Preset | None:
    """The preset that a hub id belongs to, so that naming a side's repository gives the same vectors as the preset."""
    return next((preset for preset in PRESETS.values() if hub_id in (preset.query_model, preset.passage_model)), None)
