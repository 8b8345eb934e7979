"""Sealing: encryption of texts that a log keeps for ever but only this service may read."""

import hashlib
import hmac
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from typing import Annotated, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, SecretStr

from libs.settings import checked

KEY_BYTES: Final = 32
LENGTH_BYTES: Final = 4


class SealBroken(Exception):
    """The text was sealed with another key, for another context, or not at all.

    The message says why; it is for the log and contains nothing of the text.
    """


class Seal:
    """Seals texts so that they open only with the same keys and in the same context.

    `keys` are url-safe base64 of 32 bytes each, as `generate_key` makes them, newest first: the
    first seals, all open. `digest_key` has the same form; by default it is the *oldest* key, so
    that a new key in front changes no digest. Before the oldest key is dropped, give it as
    `digest_key`, which opens nothing.
    """

    def __init__(self, keys: Sequence[str], *, digest_key: str | None = None) -> None:
        """Raises `ValueError`, whose message contains nothing of any key."""
        if not keys:
            raise ValueError("no key to seal with")
        self._digest_key = derive_key(digest_key or keys[-1], "digest")
        self._fernet = MultiFernet([_fernet(key) for key in keys])

    def seal(self, text: str, context: str) -> str:
        """Seal `text`. `context` is what it belongs to, for instance the id of an account."""
        return self._fernet.encrypt(_framed(context, text)).decode()

    def open(self, sealed: str, context: str) -> str:
        """The sealed text. Raises `SealBroken`, also if it was sealed for another context."""
        try:
            payload = self._fernet.decrypt(sealed.encode("utf-8", "surrogatepass"))
        except InvalidToken as error:
            raise SealBroken("no key of ours opens it") from error
        sealed_for, text = _unframed(payload)
        if sealed_for != context:
            raise SealBroken("sealed for something else")
        return text

    def digest(self, kind: str, text: str) -> str:
        """HMAC-SHA256 as 64 hexadecimal digits: an index key for `text` that does not reveal it.

        Equal texts of one kind have equal digests, so normalise first. Unlike a plain hash it
        cannot be guessed without the key, however short the text is.
        """
        return hmac.new(self._digest_key, _framed(kind, text), hashlib.sha256).hexdigest()


class SealSettings(BaseModel):
    """The settings of a service that seals texts.

    `seal_keys` are url-safe base64 of 32 bytes each, newest first, separated by commas: the first
    seals, all open.
    """

    seal_keys: Annotated[SecretStr, checked(lambda text: Seal(_keys(text)))]

    @property
    def sealing_keys(self) -> list[str]:
        """The keys, newest first."""
        return _keys(self.seal_keys.get_secret_value())

    def seal(self) -> Seal:
        """A seal with all keys."""
        return Seal(self.sealing_keys)


def _keys(text: str) -> list[str]:
    return [key.strip() for key in text.split(",") if key.strip()]


def generate_key() -> str:
    """A new random key."""
    return Fernet.generate_key().decode()


def derive_key(key: str, purpose: str) -> bytes:
    """32 bytes for one purpose, by HKDF; they reveal nothing of `key`.

    `key` is one of `generate_key`. Raises `ValueError`, whose message contains nothing of it.
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
    """Context and text in one, so that no two pairs have the same bytes."""
    first = context.encode("utf-8", "surrogatepass")
    return len(first).to_bytes(LENGTH_BYTES) + first + text.encode("utf-8", "surrogatepass")


def _unframed(payload: bytes) -> tuple[str, str]:
    end = LENGTH_BYTES + int.from_bytes(payload[:LENGTH_BYTES])
    try:
        context = payload[LENGTH_BYTES:end].decode("utf-8", "surrogatepass")
        return context, payload[end:].decode("utf-8", "surrogatepass")
    except ValueError as error:
        raise SealBroken("sealed by somebody else") from error
