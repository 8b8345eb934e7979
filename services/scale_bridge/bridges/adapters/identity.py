"""The identity of an agent: key, refresh token and gateway, in a file for its owner only."""

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
    """The identity is missing or cannot be read."""


class InUse(Exception):
    """Another agent uses this directory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """`private_key` opens what is sealed to the agent. The repr shows no secret."""

    gateway: str
    private_key: bytes = field(repr=False)
    refresh_token: str = field(repr=False)


def read_identity(home: Path) -> Identity:
    """The identity in a directory. Raises NotEnrolled."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=Identity)
    except (OSError, msgspec.DecodeError) as error:
        raise NotEnrolled(f"cannot be read ({type(error).__name__})") from None


def write_identity(home: Path, identity: Identity) -> None:
    """Replace the identity atomically, and flush it to the disk. Raises OSError.

    A refresh token is valid once: if the new one is lost, the agent has to be enrolled again.
    """
    new = home / f"{FILE}.new"
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 -- created with its mode
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
    """The agent's directory, created if missing, locked by this process. Raises InUse, OSError."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(home / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield home
    except BlockingIOError:
        raise InUse from None
    finally:
        os.close(lock)
