"""Keys that sign tokens: Ed25519, named by thumbprint, rotated, published as key sets."""

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

PublicKeys: TypeAlias = Mapping[str, Ed25519PublicKey]
"""Key by `kid`."""

PEM: Final = re.compile(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key that signs tokens; `kid` is the RFC 7638 thumbprint of its public half."""

    private: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> "SigningKey":
        """A new random key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: str | bytes) -> "SigningKey":
        """Read an unencrypted PKCS 8 key. Raises `ValueError`, whose message contains
        nothing of the key."""
        text = pem.encode() if isinstance(pem, str) else pem
        try:
            key = load_pem_private_key(text, password=None)
        except (ValueError, TypeError) as error:
            raise ValueError("not an unencrypted PEM private key") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("not an Ed25519 key")
        return cls(key)

    def to_pem(self) -> str:
        """The private key as PKCS 8 in PEM."""
        return self.private.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode()

    @property
    def public(self) -> Ed25519PublicKey:
        """The public half, for verifiers."""
        return self.private.public_key()

    @property
    def kid(self) -> str:
        """The name of the key in token headers and key sets."""
        return thumbprint(self.public)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key that signs now, and older ones that still verify, newest first.

    An older key may be dropped when the last token it signed has expired. Iterating yields all
    keys, so publish `jwks(ring)`.
    """

    current: SigningKey
    older: tuple[SigningKey, ...] = ()

    @classmethod
    def from_pem(cls, pem: str) -> "KeyRing":
        """Read one or several PEM keys, the first of which signs. Raises as `SigningKey` does."""
        blocks = PEM.findall(pem) or [pem]
        first, *older = (SigningKey.from_pem(block) for block in blocks)
        return cls(first, tuple(older))

    def __iter__(self) -> Iterator[SigningKey]:
        """All keys, the current one first."""
        yield self.current
        yield from self.older

    def to_pem(self) -> str:
        """The private keys, as `from_pem` reads them."""
        return "".join(key.to_pem() for key in self)

    def rotated(self, to: SigningKey, *, older: int = 1) -> "KeyRing":
        """A ring in which `to` signs, and of the keys before the newest `older` still verify."""
        known = tuple(key for key in self if key.kid != to.kid)
        return KeyRing(to, known[:older])

    @property
    def public(self) -> dict[str, Ed25519PublicKey]:
        """The public halves of all keys by `kid`, for verifiers."""
        return {key.kid: key.public for key in self}


def jwks(keys: Iterable[SigningKey]) -> dict[str, list[dict[str, str]]]:
    """The key set (RFC 7517) to publish: the public halves only."""
    return {
        "keys": [
            {**_public_jwk(key.public), "kid": key.kid, "alg": "EdDSA", "use": "sig"}
            for key in keys
        ]
    }


def keys_from_jwks(document: Any) -> dict[str, Ed25519PublicKey]:
    """The Ed25519 keys of a key set, without those of other types or with a false `kid`.

    Raises `ValueError` if it is no key set at all.
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a key set")
    keys = (_public_key(jwk) for jwk in document["keys"] if isinstance(jwk, dict))
    return {kid: key for kid, key in keys if key is not None}


def thumbprint(key: Ed25519PublicKey) -> str:
    """RFC 7638: SHA-256 over the required members in lexical order, base64url."""
    canonical = json.dumps(_public_jwk(key), separators=(",", ":"), sort_keys=True)
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _public_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}


def _public_key(jwk: dict[str, Any]) -> tuple[str, Ed25519PublicKey | None]:
    kid, x = jwk.get("kid"), jwk.get("x")
    if (jwk.get("kty"), jwk.get("crv")) != ("OKP", "Ed25519") or not isinstance(x, str):
        return "", None
    try:
        key = Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(x + "=" * (-len(x) % 4)))
    except ValueError:
        return "", None
    name = thumbprint(key)
    return (name, key) if kid == name else ("", None)


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
