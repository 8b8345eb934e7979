"""The file of signing keys: replaced as a whole, or not at all."""

import os
from pathlib import Path
from typing import Final

from libs.errors import Refused
from libs.security.tokens import KeyRing, SigningKey

OWNER_ONLY: Final = 0o600


class KeyFileUnfit(Refused):
    """The file of signing keys cannot be read or written, or holds none."""


def rotate(path: Path, *, keep: int) -> KeyRing:
    """Let a new key sign from the next start on; the `keep` newest before it still verify.

    Whoever reads the file meanwhile reads the old keys or the new ones. It ends up readable by its
    owner alone, and by the same as before. Raises KeyFileUnfit, and then it is as it was.
    """
    whole = path.resolve()
    try:
        ring = KeyRing.from_pem(whole.read_text(encoding="ascii"))
        rotated = ring.rotated(SigningKey.generate(), older=keep)
        _replace(whole, rotated.to_pem())
    except FileExistsError as error:
        raise KeyFileUnfit(
            "somebody else rotates it, or was interrupted: remove the file beside it that ends "
            "in .new"
        ) from error
    except (OSError, ValueError) as error:
        raise KeyFileUnfit(f"the file cannot be used ({type(error).__name__})") from error
    return rotated


def _replace(path: Path, text: str) -> None:
    """Raises FileExistsError while somebody else does it, OSError."""
    beside = path.with_name(f".{path.name}.new")
    old = path.stat()
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            if os.geteuid() != old.st_uid:
                # Rotated by root, it is still read by the gateway.
                os.fchown(handle, old.st_uid, old.st_gid)
            file.write(text)
            file.flush()
            os.fsync(handle)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Let the new name outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
