"""Sealing: what a log must keep for ever and nobody but its owner may read."""

import hashlib
import hmac
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
LENGTH_BYTES: Final = 4


class SealBroken(Exception):
    """The text was sealed with another key, for another context, or not at all.

    The message says why, for the log, and nothing of what was sealed.
    """


class Seal:
    """Seals texts so that they open with the same keys and in the same context only.

    `keys` are url-safe base64 of 32 bytes each, as `generate_key` makes them, newest first: the
    first seals, all open. `digest_key` has the same form. Without one, digests are made with a key
    derived from the *oldest*, so that putting a new key in front changes no digest; before the
    oldest is dropped, give it here as `digest_key`, where it opens nothing any more.
    """

    def __init__(self, keys: Sequence[str], *, digest_key: str | None = None) -> None:
        """Raises `ValueError`, without a word of any key."""
        if not keys:
            raise ValueError("no key to seal with")
        self._digest_key = derive_key(digest_key or keys[-1], "digest")
        self._fernet = MultiFernet([_fernet(key) for key in keys])

    def seal(self, text: str, context: str) -> str:
        """`text`, readable to nobody. `context` says what it belongs to, say an account's id."""
        return self._fernet.encrypt(_framed(context, text)).decode()

    def open(self, sealed: str, context: str) -> str:
        """What was sealed. Raises `SealBroken`, also if it was sealed for another context."""
        try:
            payload = self._fernet.decrypt(sealed.encode("utf-8", "surrogatepass"))
        except InvalidToken as error:
            raise SealBroken("no key of ours opens it") from error
        found, text = _unframed(payload)
        if found != context:
            raise SealBroken("sealed for something else")
        return text

    def reseal(self, sealed: str) -> str:
        """The same in the same context, sealed with the newest key. Raises `SealBroken`."""
        try:
            return self._fernet.rotate(sealed.encode("utf-8", "surrogatepass")).decode()
        except InvalidToken as error:
            raise SealBroken("no key of ours opens it") from error

    def digest(self, kind: str, text: str) -> str:
        """HMAC-SHA256 as 64 hexadecimal digits, to look `text` up by without keeping it.

        Equal texts of one kind have equal digests, so normalise first. Unlike a plain hash it
        cannot be tried out by those without the key, however short the text is.
        """
        return hmac.new(self._digest_key, _framed(kind, text), hashlib.sha256).hexdigest()


def generate_key() -> str:
    """A new random key."""
    return Fernet.generate_key().decode()


def derive_key(key: str, purpose: str) -> bytes:
    """32 bytes for one purpose, by HKDF: what they are used for shows nothing of `key`.

    `key` is one of `generate_key`. Raises `ValueError`, without a word of it.
    """
    info = f"tillstream {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(_raw(key))


def _fernet(key: str) -> Fernet:
    _raw(key)
    return Fernet(key)


def _raw(key: str) -> bytes:
    try:
        raw = urlsafe_b64decode(key.encode("ascii"))
    except ValueError as error:
        raise ValueError("not a url-safe base64 key") from error
    if len(raw) != KEY_BYTES:
        raise ValueError("not a key of 32 bytes")
    return raw


def _framed(context: str, text: str) -> bytes:
    """Both in one, so that no two pairs look the same."""
    first = context.encode("utf-8", "surrogatepass")
    return len(first).to_bytes(LENGTH_BYTES) + first + text.encode("utf-8", "surrogatepass")


def _unframed(payload: bytes) -> tuple[str, str]:
    end = LENGTH_BYTES + int.from_bytes(payload[:LENGTH_BYTES])
    try:
        context = payload[LENGTH_BYTES:end].decode("utf-8", "surrogatepass")
        return context, payload[end:].decode("utf-8", "surrogatepass")
    except ValueError as error:
        raise SealBroken("sealed by somebody else") from error
