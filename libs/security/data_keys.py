"""Data keys: one key per person, wrapped by the keys of the service.

Texts about a person are encrypted with the person's own data key (AES-256-GCM), so that all of them
become unreadable when this one key is destroyed, wherever they were copied to: the log, topics,
backups. Only `libs.security.vault` stores data keys, and only wrapped ones.
"""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias, overload
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.envelope import Sealed
from libs.errors import Refused
from libs.security.sealing import SealBroken, derive_key

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TEXT_VERSION: Final = "s1."
"""What a sealed text begins with; nonce, ciphertext and tag follow in base64url without padding."""
KEY_VERSION: Final = b"\1"


class Forgotten(Refused):
    """This person was forgotten: nothing about them can be stored any more."""


class Subject:
    """A person within a tenant: a customer, a recipient. Equal if both texts are.

    `id` is random, such as a UUID, and says nothing about the person.
    """

    __slots__ = ("id", "tenant")

    def __init__(self, tenant: str, id: UUID | str) -> None:
        self.tenant = tenant
        self.id = str(id)

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Subject)
        return same and (self.tenant, self.id) == (other.tenant, other.id)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((self.tenant, self.id))

    def __repr__(self) -> str:
        return f"Subject({self.tenant!r}, {self.id!r})"


@dataclass(frozen=True, slots=True)
class Erased:
    """In place of a text whose person was forgotten, at `at`."""

    at: datetime


MaybeErased: TypeAlias = str | Erased


def text_of(value: MaybeErased | None) -> str | None:
    """The text; None if it was erased, or was none before."""
    return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What remains of a forgotten person: who was forgotten, when, and by whom."""

    subject: Subject
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The signed proof that a person's key was destroyed. `Vault.is_valid` checks it."""

    tombstone: Tombstone
    signature: str


class DataKey:
    """The key of one person, as `ServiceKeys` opened it.

    Without `raw` the person was forgotten, `forgotten_at`, or never had a key.
    """

    __slots__ = ("_aead", "_context", "_forgotten_at")

    def __init__(
        self, subject: Subject, raw: bytes | None, forgotten_at: datetime | None = None
    ) -> None:
        self._aead = None if raw is None else AESGCM(raw)
        self._context = _framed("text", subject.tenant, subject.id)
        self._forgotten_at = forgotten_at

    @overload
    def seal(self, text: str) -> Sealed: ...
    @overload
    def seal(self, text: str | None) -> Sealed | None: ...
    def seal(self, text: str | None) -> Sealed | None:
        """Encrypt a text about this person; None stays None. Equal texts differ when sealed.

        Raises Forgotten; `SealBroken` if the person has no key.
        """
        if text is None:
            return None
        if self._aead is None:
            raise self._missing()
        sealed = _encrypt(self._aead, text.encode("utf-8", "surrogatepass"), self._context)
        return Sealed(_encoded(sealed))

    @overload
    def open(self, sealed: str) -> MaybeErased: ...
    @overload
    def open(self, sealed: str | None) -> MaybeErased | None: ...
    def open(self, sealed: str | None) -> MaybeErased | None:
        """The sealed text, or Erased if the person was forgotten; None stays None.

        Raises `SealBroken` if the text was changed, or sealed for another person.
        """
        if sealed is None:
            return None
        if self._forgotten_at is not None:
            return Erased(self._forgotten_at)
        if self._aead is None:
            raise self._missing()
        return _decrypt(self._aead, _raw(sealed), self._context).decode("utf-8", "surrogatepass")

    def seal_bytes(self, data: bytes, name: str) -> bytes:
        """Encrypt a file about this person, which opens by the same `name` only.

        Raises Forgotten; `SealBroken` if the person has no key.
        """
        if self._aead is None:
            raise self._missing()
        return _encrypt(self._aead, data, self._context + _framed("file", name))

    def open_bytes(self, sealed: bytes, name: str) -> bytes | Erased:
        """The sealed file, or Erased if the person was forgotten.

        Raises `SealBroken` if it was changed, or sealed for another person or name.
        """
        if self._forgotten_at is not None:
            return Erased(self._forgotten_at)
        if self._aead is None:
            raise self._missing()
        return _decrypt(self._aead, sealed, self._context + _framed("file", name))

    def _missing(self) -> Exception:
        return Forgotten() if self._forgotten_at else SealBroken("this person has no key")


class ServiceKeys:
    """Wraps data keys, and signs receipts. `keys` are as those of `libs.security.sealing.Seal`.

    The first wraps and signs; all open and verify.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        """Raises `ValueError`, whose message contains nothing of any key."""
        if not keys:
            raise ValueError("no key to wrap with")
        self._wrapping = [AESGCM(derive_key(key, "data key")) for key in keys]
        self._signing = [derive_key(key, "receipt of a forgotten person") for key in keys]

    def new_key(self, subject: Subject) -> bytes:
        """A new random data key, wrapped."""
        return self._wrap(subject, secrets.token_bytes(KEY_BYTES))

    def open_key(self, subject: Subject, wrapped: bytes) -> DataKey:
        """The data key. Raises `SealBroken`, also if it was wrapped for another person."""
        return DataKey(subject, self._unwrap(subject, wrapped)[0])

    def rewrap(self, subject: Subject, wrapped: bytes) -> bytes | None:
        """The data key wrapped by the first key; None if it is already. Raises `SealBroken`."""
        raw, index = self._unwrap(subject, wrapped)
        return self._wrap(subject, raw) if index else None

    def receipt(self, tombstone: Tombstone) -> Receipt:
        """The signed proof of a tombstone."""
        return Receipt(tombstone, _signature(self._signing[0], tombstone))

    def is_valid(self, receipt: Receipt) -> bool:
        """Whether one of the keys signed the receipt, and it is unchanged."""
        given = receipt.signature.encode("utf-8", "surrogatepass")
        expected = [_signature(key, receipt.tombstone).encode() for key in self._signing]
        return any(hmac.compare_digest(given, one) for one in expected)

    def _wrap(self, subject: Subject, raw: bytes) -> bytes:
        return KEY_VERSION + _encrypt(self._wrapping[0], raw, _key_context(subject))

    def _unwrap(self, subject: Subject, wrapped: bytes) -> tuple[bytes, int]:
        """The key itself, and the index of the service's key that opens it."""
        if wrapped[:1] == KEY_VERSION:
            for index, aead in enumerate(self._wrapping):
                try:
                    return _decrypt(aead, wrapped[1:], _key_context(subject)), index
                except SealBroken:
                    continue
        raise SealBroken("no key of the service opens this data key")


def _key_context(subject: Subject) -> bytes:
    return _framed("data key", subject.tenant, subject.id)


def _signature(key: bytes, tombstone: Tombstone) -> str:
    subject, at = tombstone.subject, tombstone.at.astimezone(UTC).isoformat()
    return hmac.digest(key, _framed(subject.tenant, subject.id, at, tombstone.by), "sha256").hex()


def _encrypt(aead: AESGCM, text: bytes, context: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + aead.encrypt(nonce, text, context)


def _decrypt(aead: AESGCM, sealed: bytes, context: bytes) -> bytes:
    try:
        return aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
    except (InvalidTag, ValueError):
        raise SealBroken("changed, or sealed with another key or for another person") from None


def _raw(sealed: str) -> bytes:
    body = sealed.removeprefix(TEXT_VERSION)
    try:
        raw = urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except ValueError:
        raw = b""
    # The decoder ignores characters that are not of its alphabet.
    if sealed != _encoded(raw):
        raise SealBroken("not a sealed text")
    return raw


def _encoded(raw: bytes) -> str:
    return TEXT_VERSION + urlsafe_b64encode(raw).rstrip(b"=").decode()


def _framed(*parts: str) -> bytes:
    """The parts in one, so that no two lists of parts have the same bytes."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(4) + part for part in encoded)
