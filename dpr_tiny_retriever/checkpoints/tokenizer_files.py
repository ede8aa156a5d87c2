"""tokenizer.json, vocab.txt and what stands beside them <-> a PairTokenizer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpr_tiny_retriever.atomic_files import read_json, write_json
from dpr_tiny_retriever.errors import CheckpointError
from dpr_tiny_retriever.text.pair_tokenizer import PairTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: What a tokenizer can be made of; the third and further ones only by converting it with transformers.
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
#: The classes that split words by BERT's rules; others, such as BertJapaneseTokenizer, also have a vocab.txt.
_BERT = re.compile(r"(?:Bert|DPR\w+)Tokenizer(?:Fast)?|PreTrainedTokenizerFast")


def load_tokenizer(directory: Path, text_segment: int = 1) -> PairTokenizer:
    """Load tokenizer.json, or build BERT's tokenizer from vocab.txt; transformers converts other forms."""
    from tokenizers import Tokenizer

    present = [name for name in _VOCABULARIES if (directory / name).is_file()]
    if not present:
        raise CheckpointError(f"{directory} has no tokenizer; expected tokenizer.json or BERT's vocab.txt")
    settings = read_json(directory / "tokenizer_config.json", dict, missing={})
    plain = _BERT.fullmatch(str(settings.get("tokenizer_class", "BertTokenizer")))
    try:
        if "tokenizer.json" in present:
            tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        elif "vocab.txt" in present and plain:
            tokenizer = _from_vocabulary(directory / "vocab.txt", settings)
        else:
            tokenizer = _convert(directory)
    except CheckpointError:
        raise
    except Exception as error:  # tokenizers raises bare Exception for a broken file
        raise CheckpointError(
            f"{directory}: the tokenizer cannot be read ({error}); "
            "expected tokenizer.json or BERT's vocab.txt as they were saved"
        ) from error
    return PairTokenizer(
        tokenizer,
        text_segment=text_segment,
        cls=_token(settings, "cls_token", "[CLS]"),
        sep=_token(settings, "sep_token", "[SEP]"),
    )


def save_tokenizer(tokenizer: PairTokenizer, directory: Path, max_length: int) -> None:
    """Write tokenizer.json, vocab.txt and tokenizer_config.json as transformers 4 and 5 read them."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    inner = Tokenizer.from_str(tokenizer.tokenizer.to_str())
    cls, sep = inner.id_to_token(tokenizer.cls_id), inner.id_to_token(tokenizer.sep_id)
    second = tokenizer.text_segment
    inner.post_processor = TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:{second} {sep}:{second}",
        special_tokens=[(cls, tokenizer.cls_id), (sep, tokenizer.sep_id)],
    )
    inner.save(str(directory / "tokenizer.json"))
    vocabulary = inner.get_vocab()
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    (directory / "vocab.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    normalizer = json.loads(inner.to_str()).get("normalizer") or {}
    specials = {"cls_token": cls, "sep_token": sep}
    specials |= {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    settings = {
        # transformers 5 gives every BertTokenizer the segment ids of BERT, whatever tokenizer.json says.
        "tokenizer_class": "BertTokenizer" if tokenizer.text_segment else "PreTrainedTokenizerFast",
        "do_lower_case": normalizer.get("lowercase", False),
        "strip_accents": normalizer.get("strip_accents"),
        "tokenize_chinese_chars": normalizer.get("handle_chinese_chars", True),
        "model_max_length": max_length,
        **specials,
    }
    write_json(directory / "tokenizer_config.json", settings)
    write_json(directory / "special_tokens_map.json", specials)


def _from_vocabulary(path: Path, settings: dict[str, Any]) -> Tokenizer:
    from tokenizers import Tokenizer
    from tokenizers.decoders import WordPiece as WordPieceDecoder
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    tokenizer = Tokenizer(WordPiece.from_file(str(path), unk_token=_token(settings, "unk_token", "[UNK]")))
    tokenizer.normalizer = BertNormalizer(
        lowercase=settings.get("do_lower_case", True),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
    )
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.decoder = WordPieceDecoder()
    specials = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokenizer.add_special_tokens([token for token in specials if tokenizer.token_to_id(token) is not None])
    return tokenizer


def _convert(directory: Path) -> Tokenizer:
    """Let transformers convert a tokenizer of another form; imported here only, since that takes seconds."""
    from transformers import AutoTokenizer

    converted = AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    backend: Tokenizer | None = getattr(converted, "backend_tokenizer", None)
    if backend is None:
        raise CheckpointError(
            f"{directory}: found a {type(converted).__name__}, which has no fast form; "
            "expected tokenizer.json or BERT's vocab.txt"
        )
    return backend


def _token(settings: dict[str, Any], name: str, default: str) -> str:
    """A special token from tokenizer_config.json, which holds it as a string or as a record with its content."""
    value = settings.get(name) or default
    return str(value["content"] if isinstance(value, dict) else value)
