"""Secrets made on this machine for this installation, readable by its owner alone."""

import base64
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploy.local.files import write_whole


def folder(home: Path) -> Path:
    """Where the secrets are; nobody else may even look into it."""
    path = home / "secrets"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def token(home: Path, name: str) -> Path:
    """A file with 43 random characters, made once."""
    return _made_once(folder(home) / name, secrets.token_urlsafe(32))


def signing_key(home: Path, name: str) -> Path:
    """A file with an Ed25519 private key in PEM (PKCS 8), made once."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _made_once(folder(home) / name, pem.decode())


def sealing_key(home: Path, name: str) -> Path:
    """A file with 32 random bytes in url-safe base64, made once."""
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return _made_once(folder(home) / name, key)


def _made_once(file: Path, content: str) -> Path:
    if not file.exists():
        write_whole(file, content, mode=0o600)
    return file
