"""A folder of shards that is brought up to date: made beside the former one, which it replaces when it is complete."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dpr_tiny_retriever.atomic_files import exchange, link_or_copy
from dpr_tiny_retriever.corpus.manifest import ShardRecord, write_shard_record
from dpr_tiny_retriever.corpus.shard_folder import ShardFolder


def update_folder(output: Path) -> Path:
    """The folder in which an update of this folder is built."""
    return output.with_name(f".{output.name}.update")


def lookup_file(folder: Path, share: tuple[int, int]) -> Path:
    """The table of former ids; machines that share an update have one each."""
    part, parts = share
    return folder / f"former-{part}-of-{parts}.sqlite"


def link_shard(former: ShardFolder, number: int, content: str, folder: Path) -> ShardRecord | None:
    """Give an update the former shard of this number; None, and nothing done, where its contents are others."""
    for record in former.manifest.shards:
        if record.number == number and record.content == content:
            for name in record.files:
                (folder / name).unlink(missing_ok=True)
                link_or_copy(former.path / name, folder / name)
            write_shard_record(folder, record)
            return record
    return None


def take_place(new: Path, old: Path) -> None:
    """Put an updated folder in the place of the former one, which goes."""
    for table in new.glob("former-*.sqlite"):  # of a machine that was killed
        table.unlink(missing_ok=True)
    if exchange(new, old):
        shutil.rmtree(new)
        return
    aside = old.with_name(f".{old.name}.former")
    os.replace(old, aside)
    os.replace(new, old)
    shutil.rmtree(aside)
