"""Secrets made on this machine for this installation, readable by its owner alone."""

import base64
import secrets
from collections.abc import Callable
from pathlib import Path

from deploy.local.files import write_whole


def folder(home: Path) -> Path:
    """Where the secrets are; nobody else may even look into it."""
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
    # Only here: it is needed once in the life of an installation.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
