"""Rotating the keys that sign tokens: never half a file, and readable by its owner alone."""

from pathlib import Path
from typing import Any

import pytest

from libs.security.tokens import KeyRing, SigningKey
from services.gateway.adapters.key_file import KeyFileUnfit, rotate


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "signing.pem"
    made.write_text(SigningKey.generate().to_pem())
    made.chmod(0o644)
    return made


def kids(file: Path) -> list[str]:
    return [key.kid for key in KeyRing.from_pem(file.read_text())]


def test_a_new_key_signs_and_as_many_older_ones_as_wanted_still_verify(file: Path) -> None:
    (first,) = kids(file)

    second = rotate(file, keep=1)
    assert [key.kid for key in second.older] == [first]
    third = rotate(file, keep=2)
    assert kids(file) == [third.current.kid, second.current.kid, first]
    fourth = rotate(file, keep=1)
    assert kids(file) == [fourth.current.kid, third.current.kid]
    alone = rotate(file, keep=0)
    assert kids(file) == [alone.current.kid]


def test_only_the_owner_reads_it_from_then_on_and_nothing_else_is_left(file: Path) -> None:
    rotate(file, keep=1)

    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_a_link_stays_a_link(file: Path) -> None:
    link = file.with_name("current.pem")
    link.symlink_to(file)

    made = rotate(link, keep=1)

    assert link.is_symlink()
    assert kids(file)[0] == made.current.kid


def test_a_write_that_fails_leaves_the_keys_as_they_were(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_text()

    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.gateway.adapters.key_file.os.fsync", full)
    with pytest.raises(KeyFileUnfit):
        rotate(file, keep=1)

    assert file.read_text() == before
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_two_do_not_rotate_at_once(file: Path) -> None:
    before = file.read_text()
    other = file.with_name(f".{file.name}.new")
    other.write_text("half a key")

    with pytest.raises(KeyFileUnfit, match="somebody else"):
        rotate(file, keep=1)

    assert file.read_text() == before
    assert other.read_text() == "half a key"


@pytest.mark.parametrize("content", [None, "", "-----BEGIN PRIVATE KEY-----\nx", "ключ"])
def test_what_holds_no_key_is_left_alone_and_not_repeated(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "signing.pem"
    if content is not None:
        file.write_text(content, encoding="utf-8")

    with pytest.raises(KeyFileUnfit) as no:
        rotate(file, keep=1)

    assert content is None or file.read_text(encoding="utf-8") == content
    assert "PRIVATE" not in str(no.value)
