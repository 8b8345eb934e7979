"""The file of signing keys, replaced atomically."""

import os
from pathlib import Path
from typing import Final

from libs.errors import Refused
from libs.security.tokens import KeyRing, SigningKey

OWNER_ONLY: Final = 0o600


class KeyFileUnfit(Refused):
    """The file of signing keys cannot be read or written, or holds none."""


def rotate(path: Path, *, keep: int) -> KeyRing:
    """Put a new signing key first in the file; the `keep` newest older keys still verify.

    The file is replaced atomically and keeps its owner, who alone can read it. Raises KeyFileUnfit;
    the file is then unchanged.
    """
    target = path.resolve()
    try:
        ring = KeyRing.from_pem(target.read_text(encoding="ascii"))
        rotated = ring.rotated(SigningKey.generate(), older=keep)
        _replace(target, rotated.to_pem())
    except FileExistsError as error:
        raise KeyFileUnfit(
            "somebody else rotates it, or was interrupted: remove the file beside it that ends "
            "in .new"
        ) from error
    except (OSError, ValueError) as error:
        raise KeyFileUnfit(f"the file cannot be used ({type(error).__name__})") from error
    return rotated


def _replace(path: Path, text: str) -> None:
    """Raises FileExistsError during another rotation, OSError."""
    new = path.with_name(f".{path.name}.new")
    old = path.stat()
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            if os.geteuid() != old.st_uid:
                # After a rotation by root the gateway's user must still read it.
                os.fchown(handle, old.st_uid, old.st_gid)
            file.write(text)
            file.flush()
            os.fsync(handle)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Make the new name durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
