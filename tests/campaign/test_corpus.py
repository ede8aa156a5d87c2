"""Each small file of the corpus is read, or refused for what is wrong with it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from campaign import corpus
from campaign.make_corpus import CORPUS
from retrieval_data import write_beir

from dpr_tiny_retriever import CheckpointError, DualEncoder
from dpr_tiny_retriever.data.beir import read_beir
from dpr_tiny_retriever.data.examples import read_examples
from dpr_tiny_retriever.data.passage_files import add_passages
from dpr_tiny_retriever.data.passage_store import PassageStore
from dpr_tiny_retriever.data.records import DataError
from dpr_tiny_retriever.data.skipped_records import SkippedRecords

#: For each model file, a part of the error message, or None if it is read.
MODELS = {
    "config/architecture-of-code.json": "auto_map names code of the model's own (evil.Model), which is never run",
    "config/cut.json": "config.json: not valid JSON (Unterminated string",
    "config/epsilon-nan.json": "layer_norm_eps is nan; expected a number of at least 0",
    "config/epsilon-negative.json": "layer_norm_eps is -1; expected a number of at least 0",
    "config/heads-do-not-divide.json": "hidden_size 4 is no multiple of num_attention_heads 3",
    "config/latin-1.json": "config.json: not valid JSON ('utf-8' codec can't decode byte 0xe9",
    "config/layers-of-a-trillion.json": "num_hidden_layers is 1000000000000, but the weights have 23 tensors",
    "config/list.json": "config.json: found a list; expected a dict",
    "config/nested.json": "config.json: not valid JSON (maximum recursion depth exceeded",
    "config/sound.json": None,
    "config/width-of-a-trillion.json": "expected [160, 1000000000000]",
    "h5/compressed.h5": "weight:0 [160, 4] is compressed, sparse or cut off; expected 2560 bytes",
    "h5/cut.h5": "tf_model.h5: truncated or corrupt",
    "h5/cycle.h5": None,
    "h5/external-link.h5": "bert/link is a ExternalLink; expected tensors in the file itself",
    "h5/soft-link.h5": "bert/link is a SoftLink; expected tensors in the file itself",
    "h5/sound.h5": None,
    "h5/sparse-terabytes.h5": "is compressed, sparse or cut off; expected 17592186044416 bytes",
    "h5/stored-outside.h5": "weight:0 is stored in another file; expected tensors in the file itself",
    "h5/text-for-a-tensor.h5": "missing: embeddings.word_embeddings.weight [160, 4]",
    "modules/absolute.json": "modules.json: found the path '/etc'; expected one inside",
    "modules/empty.json": "modules.json: found the modules (none)",
    "modules/nested.json": "modules.json: not valid JSON (maximum recursion depth exceeded",
    "modules/numbers.json": "modules.json: found 1; expected a record with type and path",
    "modules/outside-in-steps.json": "found the path '1_Pooling/../../private'; expected one inside",
    "modules/outside.json": "modules.json: found the path '../private'; expected one inside",
    "modules/path-is-a-number.json": "7/config.json is missing",
    "modules/path-of-5000-characters.json": "config.json cannot be read (File name too long)",
    "modules/path-with-nul.json": r"modules.json: found the path '\x00'; expected one inside",
    "modules/type-of-code.json": "modules.json: found the modules Transformer, Module",
    "safetensors/cut.safetensors": "model.safetensors: truncated or corrupt",
    "safetensors/empty.safetensors": "model.safetensors: truncated or corrupt (a header of 0 bytes in 0)",
    "safetensors/header-beyond-its-end.safetensors": "truncated or corrupt (a header of 10000 bytes in 105)",
    "safetensors/header-is-a-list.safetensors": "model.safetensors: truncated or corrupt",
    "safetensors/header-nested.safetensors": "model.safetensors: truncated or corrupt",
    "safetensors/header-of-exabytes.safetensors": "(a header of 4611686018427387904 bytes in 10)",
    "safetensors/name-is-a-surrogate.safetensors": "model.safetensors: truncated or corrupt",
    "safetensors/nan.safetensors": "not finite: embeddings.LayerNorm.weight [4]",
    "safetensors/offsets-backwards.safetensors": "model.safetensors: truncated or corrupt",
    "safetensors/offsets-overlap.safetensors": "model.safetensors: truncated or corrupt",
    "safetensors/shape-of-terabytes.safetensors": "model.safetensors: truncated or corrupt",
    "safetensors/shape-overflows.safetensors": "model.safetensors: truncated or corrupt",
    "safetensors/sound.safetensors": None,
    "safetensors/type-unknown.safetensors": "model.safetensors: truncated or corrupt",
    "tokenizer/cut.json": "the tokenizer cannot be read (EOF while parsing",
    "tokenizer/id-negative.json": "the tokenizer cannot be read (invalid value: integer `-1`",
    "tokenizer/more-ids-than-the-model.json": "the tokenizer has 4001 tokens, the word embeddings have 160 rows",
    "tokenizer/nested.json": "the tokenizer cannot be read (recursion limit exceeded",
    "tokenizer/regular-expression-exponential.json": "its normalizer has the regular expression '(a+)+$'",
    "tokenizer/replacements-that-double.json": "its normalizer has a replacement of 'a' by a longer text",
    "tokenizer/sound.json": None,
    "tokenizer/surrogate-in-a-word.json": "the tokenizer cannot be read (unexpected end of hex escape",
    "tokenizer/unknown-token-missing.json": "the vocabulary has no unknown token [UNK]",
    "tokenizer/words-of-any-length.json": "max_input_chars_per_word is 1000000000; expected at most 1000",
    "vocabulary/carriage-returns.txt": None,
    "vocabulary/empty-line.txt": None,
    "vocabulary/empty.txt": "the vocabulary has no unknown token [UNK]",
    "vocabulary/latin-1.txt": "the tokenizer cannot be read ('utf-8' codec can't decode byte 0xe9",
    "vocabulary/nul.txt": None,
    "vocabulary/sound.txt": None,
    "vocabulary/unknown-token-missing.txt": "the vocabulary has no unknown token [UNK]",
    "vocabulary/word-twice.txt": None,
}

#: For each data file, a part of the error message, or the numbers of records read and skipped.
DATA: dict[str, str | tuple[int, int]] = {
    "dpr/byte-order-mark.json": (1, 0),
    "dpr/cut.json": "cut.json:1: broken JSON: unterminated string",
    "dpr/empty.json": (0, 0),
    "dpr/nested-answers.json": (0, 1),
    "dpr/nested.json": "nested.json:1: broken JSON (maximum recursion depth exceeded",
    "dpr/not-utf-8.json": "not-utf-8.json:1: byte 0xff is not UTF-8",
    "dpr/number-of-5000-digits.json": "number-of-5000-digits.json:1: broken JSON (Exceeds the limit (4300 digits)",
    "dpr/object.json": (0, 21),
    "dpr/passage-is-a-text.json": (0, 1),
    "dpr/positives-missing.json": (0, 1),
    "dpr/question-is-null.json": (0, 1),
    "dpr/sound.json": (1, 0),
    "dpr/surrogate.json": (0, 1),
    "dpr/trailing-comma.json": "trailing-comma.json:1: broken JSON: expecting value",
    "dpr/two-lists.json": "two-lists.json:1: found more text behind the end of the array",
    "qrels/carriage-returns.tsv": (1, 0),
    "qrels/empty.tsv": "test.tsv: found no judgments",
    "qrels/four-columns.tsv": "test.tsv:2: found ['q0', '0', 'p0', '1']",
    "qrels/grade-is-a-word.tsv": "test.tsv:2: found ['q0', 'p0', 'good']",
    "qrels/grade-negative.tsv": "1 queries left out, no passage judged relevant",
    "qrels/grade-of-40-digits.tsv": "test.tsv:2: the grade is 9999999999999999999999999999999999999999; expected one",
    "qrels/header-alone.tsv": "test.tsv: found no judgments",
    "qrels/header-missing.tsv": (1, 0),
    "qrels/not-utf-8.tsv": "test.tsv:2: byte 0xff is not UTF-8",
    "qrels/nul.tsv": "1 judged passages are not in corpus.jsonl and cannot be found",
    "qrels/two-columns.tsv": "test.tsv:2: found ['q0', 'p0']",
    "qrels/unclosed-quote.tsv": "test.tsv:2: found a quoted field that goes on over following rows, or never ends",
    "tsv/byte-order-mark.tsv": (1, 0),
    "tsv/carriage-returns-alone.tsv": "carriage-returns-alone.tsv: found no passages",
    "tsv/empty.tsv": "empty.tsv: found no passages",
    "tsv/field-of-2000-characters.tsv": (1, 0),
    "tsv/five-columns.tsv": "five-columns.tsv:2: found 5 fields; expected 3",
    "tsv/header-missing.tsv": (1, 0),
    "tsv/id-twice.tsv": (2, 0),
    "tsv/line-separator.tsv": (1, 0),
    "tsv/not-utf-8.tsv": "not-utf-8.tsv:2: byte 0xff is not UTF-8",
    "tsv/nul.tsv": (1, 0),
    "tsv/sound.tsv": (1, 0),
    "tsv/two-columns.tsv": "two-columns.tsv:2: found 2 fields; expected 3",
    "tsv/unclosed-quote.tsv": "unclosed-quote.tsv:2: found a quoted field that goes on over following rows",
}


def test_every_file_of_the_corpus_has_an_outcome() -> None:
    assert sorted([*MODELS, *DATA]) == corpus.names()


@pytest.mark.parametrize("name", [name for name, message in MODELS.items() if message is None])
def test_a_model_with_a_sound_file_gives_finite_vectors(tmp_path: Path, name: str) -> None:
    vectors = DualEncoder.from_pretrained(corpus.write_model_with(tmp_path, name)).encode_passages(["the river"])
    assert vectors.shape == (1, 4)
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize(("name", "message"), [(name, message) for name, message in MODELS.items() if message])
def test_a_model_with_a_broken_file_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(message)):
        DualEncoder.from_pretrained(corpus.write_model_with(tmp_path, name))


def read(kind: str, path: Path, skipped: SkippedRecords) -> int:
    """Return the number of records in a data file."""
    if kind == "dpr":
        return len(list(read_examples(path, skipped=skipped)))
    if kind == "tsv":
        store = PassageStore()
        add_passages(store, path, skipped=skipped)
        return len(store)
    passages = [{"_id": f"p{number}", "title": "", "text": f"the river {number}"} for number in range(2)]
    queries = [{"_id": f"q{number}", "text": f"which river {number}"} for number in range(2)]
    folder = write_beir(path.parent / "beir", passages, queries, [])
    shutil.copyfile(path, folder / "qrels" / "test.tsv")
    return len(read_beir(folder, skipped=skipped).query_ids)


@pytest.mark.parametrize(("name", "expected"), DATA.items())
def test_a_file_of_data_is_read_or_refused(tmp_path: Path, name: str, expected: str | tuple[int, int]) -> None:
    path = Path(shutil.copy(CORPUS / name, tmp_path))
    kind, skipped = name.partition("/")[0], SkippedRecords()
    if isinstance(expected, tuple):
        assert (read(kind, path, skipped), skipped.count) == expected
    else:
        with pytest.raises(DataError, match=re.escape(expected)):
            read(kind, path, skipped)
