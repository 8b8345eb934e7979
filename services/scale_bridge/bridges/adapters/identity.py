"""Who the daemon is: its key, its refresh token and its gateway, in a file of its owner's only."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

FILE: Final = "identity.json"
LOCK: Final = "lock"


class NotEnrolled(Exception):
    """There is no identity here, or none that can be read."""


class InUse(Exception):
    """Another daemon has this directory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """`private_key` opens what is sealed to the daemon. Neither secret shows in its repr."""

    gateway: str
    private_key: bytes = field(repr=False)
    refresh_token: str = field(repr=False)


def read_identity(home: Path) -> Identity:
    """Raises NotEnrolled."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=Identity)
    except (OSError, msgspec.DecodeError) as error:
        raise NotEnrolled(f"cannot be read ({type(error).__name__})") from None


def write_identity(home: Path, identity: Identity) -> None:
    """Put it in the place of the one before, whole or not at all, and on the disk for certain.

    A refresh token is good once: the new one must not be lost, nor half of it be kept.
    """
    new = home / f"{FILE}.new"
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 -- made with its mode
        file.write(msgspec.json.encode(identity))
        file.flush()
        os.fsync(file.fileno())
    new.replace(home / FILE)
    folder = os.open(home, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def home_of(home: Path) -> Iterator[Path]:
    """The daemon's directory, made if missing, for one process at a time. Raises InUse, OSError."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = os.open(home / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield home
    except BlockingIOError:
        raise InUse from None
    finally:
        os.close(held)
