"""Who the daemon is stays on its disk, whole, and is nobody else's business."""

from pathlib import Path

import pytest

from services.scale_bridge.adapters.bridge_identity import (
    FILE,
    Identity,
    InUse,
    NotEnrolled,
    home_of,
    read_identity,
    write_identity,
)

ONE = Identity(gateway="https://shop.example", private_key=b"\x07" * 32, refresh_token="r0")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_identity(tmp_path, ONE)

    assert read_identity(tmp_path) == ONE
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
    assert "r0" not in repr(ONE)
    assert "x07" not in repr(ONE)


def test_what_a_crash_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    write_identity(tmp_path, ONE)
    (tmp_path / f"{FILE}.new").write_bytes(b'{"gate')
    (tmp_path / f"{FILE}.new").chmod(0o644)
    other = Identity(gateway=ONE.gateway, private_key=ONE.private_key, refresh_token="r1")
    assert read_identity(tmp_path) == ONE
    write_identity(tmp_path, other)

    assert read_identity(tmp_path) == other
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("said", [None, b"", b"{}", b'{"gateway":1}', b"\xff"])
def test_without_one_it_is_not_enrolled(tmp_path: Path, said: bytes | None) -> None:
    if said is not None:
        (tmp_path / FILE).write_bytes(said)
    with pytest.raises(NotEnrolled):
        read_identity(tmp_path)


def test_a_home_is_one_daemons_at_a_time(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    with home_of(home):
        assert home.stat().st_mode & 0o777 == 0o700
        with pytest.raises(InUse), home_of(home):
            pass
    with home_of(home):
        pass
