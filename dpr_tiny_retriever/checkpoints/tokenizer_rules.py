"""What a tokenizer from a file may do to a text: nothing that takes memory or time out of proportion to it.

BERT's own rules and those of other published tokenizers (SentencePiece's, ALBERT's, CLIP's, byte-level BPE's) pass;
replacements that lengthen a text, of which a few in a row fill any memory, and regular expressions that may backtrack
are refused.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dpr_tiny_retriever.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Steps that may stand once in a sequence: together they lengthen a text by a small factor.
_ONCE = {
    "BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Prepend", "Strip",
    "StripAccents", "BertPreTokenizer", "Digits", "FixedLength", "Metaspace", "Punctuation", "UnicodeScripts",
    "Whitespace", "WhitespaceSplit",
}  # fmt: skip
#: Steps that may come again: they are checked one by one.
_REPEATABLE = {"Replace", "Split", "CharDelimiterSplit"}
_MAX_STEPS = 32
_MAX_PREPENDED = 16  # characters
#: SentencePiece's rules replace one character by at most 33 bytes.
_MAX_PRECOMPILED = 64
#: WordPiece takes time that is quadratic in the length of a word; BERT's limit is 100 characters.
_MAX_WORD_CHARS = 1000
#: A character, an escape for some, or a class of them.
_CHARACTER = r"(?:[^\\\[\](){}*+?.|^$]|\\[^\dbBAZzGkg]|\\[pP]\{\^?\w+\}|\[(?:[^\\\[\]&]|\\.)+\])"
_ALTERNATIVE = rf"{_CHARACTER}{{1,16}}(?:\+|\{{[1-9]\d?(?:,\d{{0,3}})?\}})?"
#: Alternatives of which only the end may repeat: what published rules look for, and what no text makes slow.
_PLAIN_EXPRESSION = re.compile(rf"{_ALTERNATIVE}(?:\|{_ALTERNATIVE}){{0,15}}")


def check_rules(tokenizer: Tokenizer, where: object) -> None:
    """Raise CheckpointError, naming where the tokenizer comes from, for a rule that is not as stated above."""
    for what, part in (("normalizer", tokenizer.normalizer), ("pre-tokenizer", tokenizer.pre_tokenizer)):
        steps = list(_steps(json.loads(part.__getstate__()))) if part is not None else []
        kinds = [step.get("type") for step in steps]
        problem = next(filter(None, map(_problem, steps)), None)
        if len(steps) > _MAX_STEPS:
            problem = f"{len(steps)} steps"
        elif twice := [kind for kind in dict.fromkeys(kinds) if kind in _ONCE and kinds.count(kind) > 1]:
            problem = f"{twice[0]} {kinds.count(twice[0])} times"
        if problem:
            raise CheckpointError(
                f"{where}: its {what} has {problem}; expected BERT's, or at most {_MAX_STEPS} steps that cannot make a "
                "text much longer"
            )
    longest = getattr(tokenizer.model, "max_input_chars_per_word", 0)
    if longest > _MAX_WORD_CHARS:
        raise CheckpointError(
            f"{where}: max_input_chars_per_word is {longest}; expected at most {_MAX_WORD_CHARS} (BERT's is 100)"
        )


def _steps(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of a normalizer or pre-tokenizer in their order, those of sequences within sequences too."""
    if record.get("type") == "Sequence":
        for step in record.get("normalizers") or record.get("pretokenizers") or []:
            yield from _steps(step)
    else:
        yield record


def _problem(step: dict[str, Any]) -> str | None:
    """What is wrong with one step, if anything."""
    kind = step.get("type")
    if kind not in _ONCE | _REPEATABLE:
        return f"a step {kind!r}, which is not known here"
    if kind in ("Replace", "Split"):
        pattern = step.get("pattern", {})
        literal, expression = pattern.get("String"), pattern.get("Regex")
        if literal is None and not _PLAIN_EXPRESSION.fullmatch(expression or ""):
            return f"the regular expression {expression!r}, of which more than the end of an alternative repeats"
        shortest = len(literal or "") if literal is not None else 1
        if shortest == 0 or (kind == "Replace" and len(step.get("content", "")) > shortest):
            return f"a replacement of {literal if literal is not None else expression!r} by a longer text"
    if kind == "Prepend" and len(step.get("prepend", "")) > _MAX_PREPENDED:
        return f"a Prepend of {len(step['prepend'])} characters"
    if kind == "Precompiled":
        rules = base64.b64decode(step.get("precompiled_charsmap") or "")
        texts = rules[4 + int.from_bytes(rules[:4], "little") :]
        if max(map(len, texts.split(b"\0"))) > _MAX_PRECOMPILED:
            return f"a replacement of one character by more than {_MAX_PRECOMPILED} bytes"
    return None
