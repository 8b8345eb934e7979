"""Kafka's jars are those of the lock, and stay where they are whoever else fills the cache."""

import hashlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from jgo.env import EnvironmentBuilder

from deploy.local import jars
from deploy.local.download import quietly, watch_downloads
from deploy.local.trouble import CannotStart

CONTENT = {"kafka-1.jar": b"the broker", "log4j-slf4j-impl-2.jar": b"its words"}


@pytest.fixture
def resolver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Resolver":
    """A resolver in the place of jgo, with a cache and a lock of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lock = tmp_path / "jars.lock"
    lock.write_text(
        "".join(
            f"org:{name.rpartition('-')[0]}:{name.rpartition('-')[2].removesuffix('.jar')}"
            f" {hashlib.sha256(content).hexdigest()}\n"
            for name, content in CONTENT.items()
        )
    )
    monkeypatch.setattr(jars, "LOCK", lock)
    made = Resolver(tmp_path / "jgo")
    monkeypatch.setattr(jars, "_build", made)
    return made


class Resolver:
    """Writes the jars anew each time, as jgo may for a while for each who asks."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.content = dict(CONTENT)
        self.torn: list[dict[str, bytes]] = []
        self.builds = 0

    def __call__(self, _: object) -> list[Any]:
        self.builds += 1
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        for name, content in (self.torn.pop() if self.torn else self.content).items():
            (self.home / name).write_bytes(content)
        files = sorted(self.home.iterdir())
        return [SimpleNamespace(all_jars=files, path=self.home) for _ in range(2)]


def contents(paths: list[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths}


def test_verified_files_outlive_the_resolvers_own_files(resolver: Resolver) -> None:
    first = jars.class_path(quietly)
    shutil.rmtree(resolver.home)

    assert contents(first) == CONTENT
    assert jars.class_path(quietly) == first
    assert resolver.builds == 1


def test_however_many_start_at_once_each_gets_whole_files(resolver: Resolver) -> None:
    found: list[dict[str, bytes]] = []
    ready = threading.Barrier(8)

    def start() -> None:
        ready.wait()
        found.append(contents(jars.class_path(quietly)))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [CONTENT] * 8
    assert resolver.builds == 1


def damage(path: Path) -> None:
    path.write_bytes(b"torn")


@pytest.mark.parametrize("spoil", [damage, Path.unlink], ids=["damaged", "missing"])
def test_corrupted_files_are_downloaded_again(
    resolver: Resolver, spoil: Callable[[Path], object]
) -> None:
    first = jars.class_path(quietly)
    spoil(first[0])

    assert contents(jars.class_path(quietly)) == CONTENT
    assert resolver.builds == 2


def test_an_interrupted_download_is_repeated(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[list[str]] = []
    monkeypatch.setattr(jars, "_forget", lambda _, names: forgotten.append(names))
    resolver.torn = [dict.fromkeys(CONTENT, b"half")]

    assert contents(jars.class_path(quietly)) == CONTENT
    assert forgotten == [sorted(CONTENT)]


@pytest.mark.parametrize(
    "other", [{"kafka-1.jar": b"another"}, {"more-1.jar": b"unknown"}], ids=["content", "name"]
)
def test_a_file_that_is_not_the_locked_one_is_refused_by_name(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch, other: dict[str, bytes]
) -> None:
    monkeypatch.setattr(jars, "_forget", lambda *_: None)
    resolver.content = CONTENT | other

    with pytest.raises(CannotStart, match="is not the file that"):
        jars.class_path(quietly)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that jgo may write to; it never gets further."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders: list[Path] = []

    def from_endpoint(builder: Any, _: str) -> SimpleNamespace:
        folders.extend((builder.context.repo_cache, builder.cache_dir))
        return SimpleNamespace()

    monkeypatch.setattr(EnvironmentBuilder, "from_endpoint", from_endpoint)
    return folders


def test_no_folder_is_shared_with_other_programs(built: list[Path], tmp_path: Path) -> None:
    """Maven, and jgo for others, write to ~/.m2 and ~/.cache/jgo without asking for our lock."""
    with watch_downloads(quietly, files=1) as progress:
        jars._build(progress)

    assert built
    assert all(folder.is_relative_to(tmp_path / "tillstream") for folder in built)


@pytest.mark.parametrize(
    "failure", [RuntimeError(), OSError(), ValueError(), ElementTree.ParseError()], ids=repr
)
def test_every_error_of_the_resolver_is_a_message(
    built: list[Path], monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def from_endpoint(*_: object) -> None:
        raise failure

    monkeypatch.setattr(EnvironmentBuilder, "from_endpoint", from_endpoint)

    with (
        watch_downloads(quietly, files=1) as progress,
        pytest.raises(CannotStart, match="could not be downloaded"),
    ):
        jars._build(progress)
