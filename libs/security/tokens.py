"""Signed tokens (JWT, EdDSA): issuing and strict verification."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import jwt

from libs.security.signing_keys import (
    KeyRing,
    PublicKeys,
    SigningKey,
    jwks,
    keys_from_jwks,
    thumbprint,
)

__all__ = [
    "ACCESS",
    "INTERNAL",
    "MAX_INTERNAL_LIFETIME",
    "Claims",
    "KeyRing",
    "KeyUnknown",
    "PublicKeys",
    "SigningKey",
    "TokenInvalid",
    "issue",
    "jwks",
    "keys_from_jwks",
    "thumbprint",
    "verify",
]

INTERNAL = "internal"
"""The `typ` of tokens between services. Tokens of people have another, so neither passes for the
other."""

MAX_INTERNAL_LIFETIME = timedelta(minutes=15)
"""The longest life of an internal token. Services keep revocations for at least as long."""

ACCESS = "at+jwt"
"""The `typ` of people's tokens (RFC 9068). The gateway accepts them, the services behind do not."""

MAX_TOKEN_LENGTH = 8192
CLOCK_SKEW = timedelta(seconds=30)
REQUIRED = ["aud", "exp", "iat", "iss", "sub"]
NOTHING: Mapping[str, object] = MappingProxyType({})


class TokenInvalid(Exception):
    """The token is not valid. The message says why; it is for the log, never for the caller."""


class KeyUnknown(TokenInvalid):
    """The token names a key that is not in the key set; a newer key set may have it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """The claims of a valid token. Without `scopes` it permits nothing.

    `lifetime` is from issue to expiry. `session` is the id of the login session, or empty; a token
    without a session cannot be revoked.
    """

    subject: str
    tenant: str
    scopes: frozenset[str]
    kind: str
    expires_at: datetime
    session: str = ""
    lifetime: timedelta = field(default=timedelta(), compare=False)


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
    session: str = "",
    extra: Mapping[str, object] = NOTHING,
) -> str:
    """A signed token, valid from `now` for `lifetime`, both in whole seconds.

    With a `session` it is invalid once that is revoked. `extra` are claims for clients, which
    `verify` does not read. A `sub` among them replaces ours, which is then in the claim `subject`;
    no other claim of ours is replaced.
    """
    claims = {
        **extra,
        "sub": extra.get("sub", subject),
        **({"subject": subject} if "sub" in extra else {}),
        "tenant": tenant,
        "scope": " ".join(sorted(scopes)),
        "kind": kind,
        "aud": audience,
        "iss": issuer,
        "iat": int(now.timestamp()),
        "exp": int((now + lifetime).timestamp()),
        **({"sid": session} if session else {}),
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
    """The claims of a token that is signed by one of `keys`, for `audience`, and not expired.

    Raises `KeyUnknown` if its `kid` is not among `keys`, `TokenInvalid` for any other reason.
    """
    key = keys.get(_kid(token, typ))
    if key is None:
        raise KeyUnknown("unknown kid")
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=["EdDSA"],
            audience=audience,
            issuer=issuer,
            # `_claims` checks the times against `now`, not against the wall clock.
            options={
                "require": REQUIRED,
                "strict_aud": True,
                "verify_exp": False,
                "verify_iat": False,
            },
        )
    except jwt.PyJWTError as error:
        raise TokenInvalid(str(error)) from error
    return _claims(claims, now)


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


def _claims(claims: Mapping[str, Any], now: datetime) -> Claims:
    issued, expires = claims["iat"], claims["exp"]
    # A bool is an int to Python, and NaN or infinity would compare in the forger's favour.
    if type(issued) is not int or type(expires) is not int:
        raise TokenInvalid("iat and exp must be whole seconds")
    if issued > (now + CLOCK_SKEW).timestamp():
        raise TokenInvalid("issued in the future")
    if expires <= now.timestamp():
        raise TokenInvalid("expired")
    subject = claims.get("subject", claims["sub"])
    texts = [subject, *(claims.get(name) for name in ("tenant", "scope", "kind"))]
    if not all(isinstance(text, str) for text in texts) or not subject or not claims["tenant"]:
        raise TokenInvalid("sub, tenant, scope and kind must be texts")
    session = claims.get("sid", "")
    if not isinstance(session, str):
        raise TokenInvalid("sid must be a text")
    return Claims(
        subject=subject,
        tenant=claims["tenant"],
        scopes=frozenset(claims["scope"].split()),
        kind=claims["kind"],
        expires_at=_moment(expires),
        session=session,
        lifetime=timedelta(seconds=expires - issued),
    )


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise TokenInvalid("exp is not a moment") from error
