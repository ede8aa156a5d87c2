"""tokenizer.json, vocab.txt and the settings beside them <-> a PairTokenizer."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpr_tiny_retriever.checkpoints.json_files import read_json, refuse_huge, write_json
from dpr_tiny_retriever.checkpoints.tokenizer_rules import check_rules
from dpr_tiny_retriever.errors import CheckpointError, MissingExtraError
from dpr_tiny_retriever.text.pair_tokenizer import PairTokenizer
from dpr_tiny_retriever.text.word_piece_cache import is_tokenizers_own

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SETTINGS_FILE = "tokenizer_config.json"
#: The forms of a vocabulary that are read here, the better first.
VOCABULARY_FILES = ("tokenizer.json", "vocab.txt")
#: Forms that transformers converts.
CONVERTED_FILES = ("vocab.json", "spiece.model", "sentencepiece.bpe.model")
#: Classes with BERT's rules, whose settings in tokenizer_config.json outweigh those in tokenizer.json.
BERT_CLASS = re.compile(r"(?:Bert|DistilBert|DPR\w+)Tokenizer(?:Fast)?")
#: The class that takes all from tokenizer.json.
PLAIN_CLASS = "PreTrainedTokenizerFast"
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def load_tokenizer(directory: Path, text_segment: int = 1, *, lowercase: bool = False) -> PairTokenizer:
    """Load tokenizer.json, or build BERT's tokenizer from vocab.txt; transformers converts other forms.

    text_segment is the segment id of a text that follows a title; lowercase lower-cases texts that the tokenizer's own
    rules would not. Raises CheckpointError where the files cannot be used, MissingExtraError without transformers.
    """
    from tokenizers import Tokenizer

    if not any((directory / name).is_file() for name in (*VOCABULARY_FILES, *CONVERTED_FILES)):
        raise CheckpointError(f"{directory} has no tokenizer; expected tokenizer.json or BERT's vocab.txt")
    for name in (*VOCABULARY_FILES, *CONVERTED_FILES):
        if (directory / name).is_file():
            refuse_huge(directory / name)
    settings = read_json(directory / SETTINGS_FILE, dict, missing={})
    kind = str(settings.get("tokenizer_class") or "BertTokenizer")
    has_bert_rules = BERT_CLASS.fullmatch(kind) is not None
    try:
        if (directory / "tokenizer.json").is_file():
            tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
            if has_bert_rules:
                _apply_bert_settings(tokenizer, settings)
        elif (directory / "vocab.txt").is_file() and (has_bert_rules or kind == PLAIN_CLASS):
            tokenizer = _from_vocabulary(directory / "vocab.txt", settings)
        else:
            tokenizer = _convert(directory, kind)
        check_rules(tokenizer, directory)
        if lowercase:
            _lowercase(tokenizer)
        _check_unknown_token(tokenizer, directory)
        cls, sep = _token(settings, "cls_token", "[CLS]"), _token(settings, "sep_token", "[SEP]")
        return PairTokenizer(tokenizer, text_segment=text_segment, cls=cls, sep=sep)
    except (CheckpointError, MissingExtraError):
        raise
    except BaseException as error:
        if not (isinstance(error, Exception) or is_tokenizers_own(error)):
            raise
        raise CheckpointError(
            f"{directory}: the tokenizer cannot be read ({error}); "
            "expected tokenizer.json or BERT's vocab.txt as they were saved"
        ) from error


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
    # inner.save() raises a bare Exception without the file's name when the disk is full.
    (directory / "tokenizer.json").write_text(inner.to_str(pretty=True), encoding="utf-8", newline="\n")
    lines = "".join(f"{token}\n" for token in _vocabulary_lines(inner.get_vocab()))
    (directory / "vocab.txt").write_text(lines, encoding="utf-8", newline="\n")
    normalizer = json.loads(inner.to_str()).get("normalizer") or {}
    specials = {"cls_token": cls, "sep_token": sep}
    specials |= {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    # transformers 5 gives every BertTokenizer the segment ids and the rules of BERT, whatever tokenizer.json says.
    is_bert = tokenizer.text_segment == 1 and normalizer.get("type") == "BertNormalizer"
    settings = {
        "tokenizer_class": "BertTokenizer" if is_bert else PLAIN_CLASS,
        "do_lower_case": normalizer.get("lowercase", False),
        "strip_accents": normalizer.get("strip_accents"),
        "tokenize_chinese_chars": normalizer.get("handle_chinese_chars", True),
        "model_max_length": max_length,
        **specials,
    }
    write_json(directory / SETTINGS_FILE, settings)
    write_json(directory / "special_tokens_map.json", specials)


def _vocabulary_lines(vocabulary: dict[str, int]) -> list[str]:
    """The token of each id from 0 on; an id without a token gets a name of its own, or all later ids would shift."""
    tokens = {id_: token for token, id_ in vocabulary.items()}
    lines = []
    for id_ in range(max(tokens) + 1):
        token = tokens.get(id_) or f"[unused{id_}]"
        while id_ not in tokens and token in vocabulary:
            token = f"[{token}]"
        lines.append(token)
    return lines


def _from_vocabulary(path: Path, settings: dict[str, Any]) -> Tokenizer:
    from tokenizers import Tokenizer
    from tokenizers.decoders import WordPiece as WordPieceDecoder
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    lines = [line.rstrip() for line in path.read_text(encoding="utf-8").split("\n")]
    vocabulary = {token: id_ for id_, token in enumerate(lines) if token}  # an empty line is an id without a token
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token=_token(settings, "unk_token", "[UNK]")))
    tokenizer.normalizer = BertNormalizer()
    _apply_bert_settings(tokenizer, settings)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.decoder = WordPieceDecoder()
    tokenizer.add_special_tokens([token for token in SPECIAL_TOKENS if token in vocabulary])
    return tokenizer


def _apply_bert_settings(tokenizer: Tokenizer, settings: dict[str, Any]) -> None:
    """Normalize as a BertTokenizer of transformers does: by tokenizer_config.json, where tokenizer.json differs."""
    from tokenizers.normalizers import BertNormalizer

    if isinstance(tokenizer.normalizer, BertNormalizer):
        tokenizer.normalizer = BertNormalizer(
            clean_text=tokenizer.normalizer.clean_text,
            lowercase=settings.get("do_lower_case", True),
            strip_accents=settings.get("strip_accents"),
            handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        )


def _lowercase(tokenizer: Tokenizer) -> None:
    """Lower-case texts before the tokenizer's own rules, as do_lower_case of sentence-transformers does."""
    from tokenizers.normalizers import BertNormalizer, Lowercase, Sequence

    own = tokenizer.normalizer
    if isinstance(own, BertNormalizer):  # the same in one step, which keeps BERT's rules, and so the cache of words
        strip_accents = own.lowercase if own.strip_accents is None else own.strip_accents
        tokenizer.normalizer = BertNormalizer(
            clean_text=own.clean_text,
            lowercase=True,
            strip_accents=strip_accents,
            handle_chinese_chars=own.handle_chinese_chars,
        )
    else:
        tokenizer.normalizer = Lowercase() if own is None else Sequence([Lowercase(), own])


def _check_unknown_token(tokenizer: Tokenizer, directory: Path) -> None:
    unknown = getattr(tokenizer.model, "unk_token", None)
    if unknown is not None and tokenizer.token_to_id(unknown) is None:
        raise CheckpointError(
            f"{directory}: the vocabulary has no unknown token {unknown}, which stands for every word that it does not "
            "hold; expected the vocabulary that the model was trained with"
        )


def _convert(directory: Path, kind: str) -> Tokenizer:
    """Let transformers convert a tokenizer of another form, without running code of the model's own."""
    for name in (SETTINGS_FILE, "config.json"):
        code = read_json(directory / name, dict, missing={}).get("auto_map")
        if code and (name == SETTINGS_FILE or "AutoTokenizer" in code):
            raise CheckpointError(
                f"{directory / name}: auto_map names code of the model's own for its tokenizer, which is never run; "
                "expected tokenizer.json or BERT's vocab.txt"
            )
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtraError(
            f"{directory}: a {kind} without tokenizer.json is converted by transformers, which is not installed; "
            'install it (pip install "dpr-tiny-retriever[transformers]"), or add tokenizer.json to the folder'
        )
    from transformers import AutoTokenizer

    converted = AutoTokenizer.from_pretrained(str(directory), local_files_only=True, trust_remote_code=False)
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
