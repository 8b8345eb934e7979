"""Secrets made on this machine for this installation, readable by its owner alone."""

import base64
import secrets
from collections.abc import Callable
from pathlib import Path

from deploy.local.files import write_whole

PKCS8_OF_ED25519 = bytes.fromhex("302e020100300506032b657004220420")


def folder(home: Path) -> Path:
    """The folder of the secrets, which no other user may list."""
    path = home / "secrets"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def token(home: Path, name: str) -> Path:
    """A file with 43 random characters, made once."""
    return _made_once(folder(home) / name, lambda: secrets.token_urlsafe(32))


def signing_key(home: Path, name: str) -> Path:
    """A file with an Ed25519 private key in PEM (PKCS 8), made once."""
    return _made_once(folder(home) / name, _new_signing_key)


def sealing_key(home: Path, name: str) -> Path:
    """A file with 32 random bytes in url-safe base64, made once."""
    return _made_once(
        folder(home) / name, lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    )


def _made_once(file: Path, make: Callable[[], str]) -> Path:
    if not file.exists():
        write_whole(file, make(), mode=0o600)
    return file


def _new_signing_key() -> str:
    # A private key is 32 random bytes, which RFC 8410 writes down behind always the same ones. The
    # library for it would take six megabytes of the supervisor for the rest of its life.
    key = base64.b64encode(PKCS8_OF_ED25519 + secrets.token_bytes(32)).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"
