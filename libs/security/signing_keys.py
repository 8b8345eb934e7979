"""Keys that sign tokens: Ed25519, named by their thumbprint, published as key sets, rotated."""

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
        """Read an unencrypted PKCS 8 key. Raises `ValueError`, without a word of the key."""
        text = pem.encode() if isinstance(pem, str) else pem
        try:
            key = load_pem_private_key(text, password=None)
        except (ValueError, TypeError) as error:
            raise ValueError("not an unencrypted PEM private key") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("not an Ed25519 key")
        return cls(key)

    def to_pem(self) -> str:
        """The secret itself, as PKCS 8."""
        return self.private.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode()

    @property
    def public(self) -> Ed25519PublicKey:
        """What verifiers hold."""
        return self.private.public_key()

    @property
    def kid(self) -> str:
        """The name of the key in token headers and key sets."""
        return thumbprint(self.public)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key that signs now, and older ones whose tokens still live, newest first.

    An older key is kept for as long as the longest token it signed; then it may go. Iterating
    gives all of them, so `jwks(ring)` is what to publish.
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
        """The secrets themselves, as `from_pem` reads them."""
        return "".join(key.to_pem() for key in self)

    def rotated(self, to: SigningKey, *, keep: int = 1) -> "KeyRing":
        """`to` signs from now on; of the keys before, the newest `keep` still verify."""
        known = tuple(key for key in self if key.kid != to.kid)
        return KeyRing(to, known[:keep])

    @property
    def public(self) -> dict[str, Ed25519PublicKey]:
        """What verifiers hold of all of them, by `kid`."""
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
    """The Ed25519 keys of a key set, those of other kinds or with a false `kid` left out.

    Raises `ValueError` if it is no key set at all.
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a key set")
    found = (_public_key(jwk) for jwk in document["keys"] if isinstance(jwk, dict))
    return {kid: key for kid, key in found if key is not None}


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
