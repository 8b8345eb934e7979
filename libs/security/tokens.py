"""Signed tokens: Ed25519 keys, strict checks, key sets that can rotate."""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

INTERNAL = "internal"
"""The `typ` of tokens that services show each other; those of people must not pass for them."""

MAX_TOKEN_LENGTH = 8192
CLOCK_SKEW = timedelta(seconds=30)
REQUIRED = ["aud", "exp", "iat", "iss", "sub"]

PublicKeys: TypeAlias = Mapping[str, Ed25519PublicKey]
"""Key by `kid`."""


class TokenInvalid(Exception):
    """The token proves nothing. The message says why, for the log and never for the caller."""


class KeyUnknown(TokenInvalid):
    """The token names a key we do not hold; a newer key set may have it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What a valid token says. `scopes` may be empty, which permits nothing."""

    subject: str
    tenant: str
    scopes: frozenset[str]
    kind: str
    expires_at: datetime


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


def issue(
    key: SigningKey,
    *,
    subject: str,
    tenant: str,
    scopes: Iterable[str],
    kind: str,
    audience: str,
    issuer: str,
    now: datetime,
    lifetime: timedelta,
    typ: str = INTERNAL,
) -> str:
    """A signed token valid from `now` for `lifetime`; seconds are the finest unit."""
    claims = {
        "sub": subject,
        "tenant": tenant,
        "scope": " ".join(sorted(scopes)),
        "kind": kind,
        "aud": audience,
        "iss": issuer,
        "iat": int(now.timestamp()),
        "exp": int((now + lifetime).timestamp()),
    }
    return jwt.encode(claims, key.private, algorithm="EdDSA", headers={"kid": key.kid, "typ": typ})


def verify(
    token: str,
    keys: PublicKeys,
    *,
    audience: str,
    issuer: str,
    now: datetime,
    typ: str = INTERNAL,
) -> Claims:
    """The claims of a token that is signed by one of `keys`, meant for us and not expired.

    Raises `KeyUnknown` if its `kid` is not among `keys`, `TokenInvalid` for any other doubt.
    """
    key = keys.get(_kid(token, typ))
    if key is None:
        raise KeyUnknown("unknown kid")
    try:
        said = jwt.decode(
            token,
            key,
            algorithms=["EdDSA"],
            audience=audience,
            issuer=issuer,
            # The moments are judged below by the clock we were given, not by the wall's.
            options={
                "require": REQUIRED,
                "strict_aud": True,
                "verify_exp": False,
                "verify_iat": False,
            },
        )
    except jwt.PyJWTError as error:
        raise TokenInvalid(str(error)) from error
    return _claims(said, now)


def _kid(token: str, typ: str) -> str:
    if len(token) > MAX_TOKEN_LENGTH:
        raise TokenInvalid("too long")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError) as error:
        raise TokenInvalid("not a token") from error
    if header.get("alg") != "EdDSA":
        raise TokenInvalid("wrong alg")
    if header.get("typ") != typ:
        raise TokenInvalid("wrong typ")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise TokenInvalid("no kid")
    return kid


def _claims(said: Mapping[str, Any], now: datetime) -> Claims:
    issued, expires = said["iat"], said["exp"]
    # A bool is an int to Python, and NaN or infinity would compare in the forger's favour.
    if type(issued) is not int or type(expires) is not int:
        raise TokenInvalid("iat and exp must be whole seconds")
    if issued > (now + CLOCK_SKEW).timestamp():
        raise TokenInvalid("issued in the future")
    if expires <= now.timestamp():
        raise TokenInvalid("expired")
    texts = [said.get(name) for name in ("sub", "tenant", "scope", "kind")]
    if not all(isinstance(text, str) for text in texts) or not said["sub"] or not said["tenant"]:
        raise TokenInvalid("sub, tenant, scope and kind must be texts")
    return Claims(
        subject=said["sub"],
        tenant=said["tenant"],
        scopes=frozenset(said["scope"].split()),
        kind=said["kind"],
        expires_at=_moment(expires),
    )


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise TokenInvalid("exp is not a moment") from error


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
