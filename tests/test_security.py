"""Every line of SECURITY.md has the tests that show it; the tests are found, and run with all others."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
POLICY = TESTS.parent / "SECURITY.md"
#: Lists the faults found, each with its regression tests.
RELIABILITY = TESTS.parent / "docs" / "reliability.md"

#: The beginning of each line of SECURITY.md -> the test module, and the test functions that prove it.
SHOWN_BY = {
    "No code is run from it": (
        ("test_security.py", "test_no_module_can_open_a_pickle"),
        ("checkpoints/test_refused_weights.py", "test_a_folder_with_only_a_pickle_says_how_to_convert_it"),
        ("checkpoints/test_converted_tokenizers.py", "test_code_that_a_folder_names_is_neither_run_nor_asked_for"),
    ),
    "Paths in `modules.json`": (
        ("checkpoints/test_sentence_transformers_settings.py", "test_a_module_outside_of_the_folder_is_not_read"),
        ("checkpoints/test_router_folders.py", "test_a_route_outside_of_the_folder_is_not_read"),
    ),
    "Shards outside": (("checkpoints/test_shards_and_links.py", "test_a_shard_outside_of_the_folder_is_not_read"),),
    "Links and external storage": (
        ("checkpoints/test_shards_and_links.py", "test_links_in_h5_are_not_followed"),
        ("checkpoints/test_shards_and_links.py", "test_h5_that_stores_a_tensor_in_another_file_is_refused"),
        ("checkpoints/test_shards_and_links.py", "test_h5_that_gathers_a_tensor_from_another_file_is_refused"),
    ),
    "A file that is a link": (
        ("checkpoints/test_presets.py", "test_presets_encode_offline_what_they_encode_online"),
        ("checkpoints/test_shards_and_links.py", "test_weights_that_the_system_cannot_read_are_named"),
    ),
    "Nothing is allocated": (
        ("checkpoints/test_shards_and_links.py", "test_h5_never_takes_more_memory_than_its_size"),
        ("checkpoints/test_shards_and_links.py", "test_more_layers_than_the_weights_can_have_are_refused_at_once"),
        ("checkpoints/test_shards_and_links.py", "test_weights_of_a_terabyte_of_nothing_are_refused_unread"),
    ),
    "Files of settings and words": (
        ("checkpoints/test_shards_and_links.py", "test_settings_and_words_of_a_terabyte_are_refused_unread"),
        ("checkpoints/test_shards_and_links.py", "test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for"),
    ),
    "A tokenizer's rules": (
        ("checkpoints/test_tokenizer_rules.py", "test_normalizers_that_can_fill_any_memory_are_refused"),
        ("checkpoints/test_tokenizer_rules.py", "test_pre_tokenizers_that_can_fill_any_memory_are_refused"),
    ),
    "Vectors that are NaN": (("model/test_finite_vectors.py", "test_a_vector_that_is_not_finite_is_an_error"),),
    "Whatever else is wrong": (("campaign/test_campaign.py", "test_edited_files_of_models_are_loaded_or_refused"),),
    "It is an SQLite file": (("retrieval/test_index_file.py", "test_a_database_of_another_program_is_left_alone"),),
    "Vectors that no model": (("retrieval/test_damaged_index.py", "test_vectors_that_no_model_has_made_are_damage"),),
    "A damaged index": (
        ("commands/test_search_command.py", "test_a_damaged_index_that_was_named_is_kept"),
        ("commands/test_search_command.py", "test_a_damaged_index_in_the_cache_is_named_and_made_anew"),
    ),
    "Several processes may search": (
        ("campaign/test_campaign.py", "test_an_index_that_is_asked_while_it_is_written_to_gives_right_answers"),
        ("retrieval/test_index_file.py", "test_a_kill_at_any_moment_loses_nothing_that_was_reported"),
    ),
    "Its records name": (
        ("corpus/test_damaged_folders.py", "test_a_file_that_no_shard_has_is_neither_read_nor_removed"),
    ),
    "Numbers that no job has": (
        ("corpus/test_damaged_folders.py", "test_a_manifest_with_values_that_no_job_has_is_damage"),
        ("corpus/test_damaged_folders.py", "test_a_record_with_values_that_no_shard_has_is_damage"),
    ),
    "An array that promises": (
        ("corpus/test_damaged_folders.py", "test_an_array_that_promises_more_than_its_file_has_is_not_allocated"),
        ("corpus/test_damaged_folders.py", "test_an_array_of_objects_is_not_unpickled"),
    ),
    "Vectors of another width": (("corpus/test_damaged_folders.py", "test_vectors_that_are_not_the_job_s_are_damage"),),
    "A record that cannot": (("data/test_records.py", "test_what_cannot_be_read_can_be_skipped"),),
    "Text is text": (("commands/test_command_line.py", "test_control_characters_of_files_reach_no_terminal"),),
    "A text of any length": (("encoder/test_input.py", "test_ten_megabytes_in_one_text_are_cut_and_counted"),),
    "A file or folder that is replaced": (
        # whole or not at all
        (
            "atomic_files/test_replacing_folders.py",
            "test_killed_at_any_moment_it_leaves_the_former_folder_or_the_new_one",
        ),
        ("campaign/test_campaign.py", "test_a_full_or_read_only_disk_loses_nothing"),
    ),
    "What a killed process left": (
        (
            "atomic_files/test_temporary_names.py",
            "test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not",
        ),
    ),
    "Temporary links": (
        ("atomic_files/test_temporary_names.py", "test_what_a_link_of_such_a_name_leads_to_is_left_alone"),
    ),
    "Only presets and hub ids": (
        ("checkpoints/test_hub_access.py", "test_a_mistyped_folder_is_named"),
        ("checkpoints/test_hub_access.py", "test_a_token_is_sent_and_opens_a_private_repository"),
    ),
    "A token stands": (
        ("checkpoints/test_hub_access.py", "test_a_broken_token_is_refused_and_not_shown"),
        ("encoder/test_copies.py", "test_a_token_is_in_no_pickle"),
    ),
}


def test_every_line_is_shown_by_tests() -> None:
    lines = [line.removeprefix("- ") for line in POLICY.read_text(encoding="utf-8").splitlines() if line[:2] == "- "]
    unshown = [line for line in lines if not any(line.startswith(begin) for begin in SHOWN_BY)]
    unsaid = [begin for begin in SHOWN_BY if not any(line.startswith(begin) for line in lines)]
    assert (unshown, unsaid) == ([], [])


def named_in(page: Path) -> list[tuple[str, str]]:
    return re.findall(r"`([\w/]+\.py)::(test_\w+)`", page.read_text(encoding="utf-8"))


def test_every_fault_that_was_found_names_a_test() -> None:
    faults = [line for line in RELIABILITY.read_text(encoding="utf-8").splitlines() if line.startswith("| F")]
    assert len(faults) > 30
    assert [line for line in faults if "::test_" not in line] == []


@pytest.mark.parametrize(
    ("module", "name"), sorted({one for shown in SHOWN_BY.values() for one in shown} | set(named_in(RELIABILITY)))
)
def test_the_tests_that_show_it_exist(module: str, name: str) -> None:
    tree = ast.parse((TESTS / module).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


UNPICKLING = {"dill", "joblib", "marshal", "pickle", "shelve"}


def test_no_module_can_open_a_pickle() -> None:
    """No module imports an unpickler, and numpy.load is called with allow_pickle=False."""
    for path in (TESTS.parent / "dpr_tiny_retriever").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                found = {module.partition(".")[0] for module in modules} & {
                    "dill",
                    "joblib",
                    "marshal",
                    "pickle",
                    "shelve",
                }
                assert not found, path
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.load":
                assert "allow_pickle=False" in ast.unparse(node), path
