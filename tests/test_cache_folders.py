"""The package's folders in the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpr_tiny_retriever.cache_folders import CacheFolder, cache_folders, clear_cache_folders, user_cache

pytestmark = pytest.mark.also_lowest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dpr-tiny-retriever"


@pytest.mark.posix
def test_a_cache_folder_lies_where_the_environment_says(cache: Path) -> None:
    assert user_cache("search") == cache / "search"
    assert not cache.exists(), "naming a folder does not make it"


@pytest.mark.posix
def test_folders_are_listed_with_the_size_of_all_their_files(cache: Path) -> None:
    assert cache_folders() == []
    deep = user_cache("search") / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "index").write_bytes(b"12345")
    (deep.parent / "more").write_bytes(b"123")
    user_cache("old-version").mkdir()
    assert cache_folders() == [CacheFolder(user_cache("old-version"), 0), CacheFolder(user_cache("search"), 8)]


@pytest.mark.posix
def test_clearing_removes_everything_and_follows_no_link(cache: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    (user_cache("search") / "a").mkdir(parents=True)
    (user_cache("search") / "a" / "index").write_bytes(b"12345")
    user_cache("link").symlink_to(outside)
    (user_cache("search") / "link").symlink_to(outside)
    assert [folder.path.name for folder in clear_cache_folders()] == ["link", "search"]
    assert cache_folders() == []
    assert (outside / "precious").read_text() == "kept"


@pytest.mark.posix
def test_without_a_home_folder_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)  # a user whom the system does not know, as in many containers
    assert cache_folders() == []
    with pytest.raises(FileNotFoundError, match="set HOME or XDG_CACHE_HOME to an absolute path"):
        user_cache("search")
