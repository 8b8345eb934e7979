"""Signed tokens: what they say, and strict checks of it."""

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
    "LONGEST_PASS",
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
"""The `typ` of tokens that services show each other; those of people must not pass for them."""

LONGEST_PASS = timedelta(minutes=15)
"""How long an internal token may live at most; so long must services remember what is revoked."""

ACCESS = "at+jwt"
"""The `typ` of people's own tokens (RFC 9068), which are good at the door and nowhere behind it."""

MAX_TOKEN_LENGTH = 8192
CLOCK_SKEW = timedelta(seconds=30)
REQUIRED = ["aud", "exp", "iat", "iss", "sub"]
NOTHING: Mapping[str, object] = MappingProxyType({})


class TokenInvalid(Exception):
    """The token proves nothing. The message says why, for the log and never for the caller."""


class KeyUnknown(TokenInvalid):
    """The token names a key we do not hold; a newer key set may have it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What a valid token says. `scopes` may be empty, which permits nothing.

    `lifetime` is how long it lives from its issue to its end. `session` is the login it comes from,
    or empty: what no one logged in for cannot be revoked.
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
    also: Mapping[str, object] = NOTHING,
) -> str:
    """A signed token valid from `now` for `lifetime`; seconds are the finest unit.

    With a `session`, it is worthless as soon as that is revoked. `also` are claims for clients,
    which `verify` does not read; a `sub` of theirs stands in the place of ours, which then is
    `subject`, and nothing else of ours is replaced.
    """
    claims = {
        **also,
        "sub": also.get("sub", subject),
        **({"subject": subject} if "sub" in also else {}),
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
    subject = said.get("subject", said["sub"])
    texts = [subject, *(said.get(name) for name in ("tenant", "scope", "kind"))]
    if not all(isinstance(text, str) for text in texts) or not subject or not said["tenant"]:
        raise TokenInvalid("sub, tenant, scope and kind must be texts")
    session = said.get("sid", "")
    if not isinstance(session, str):
        raise TokenInvalid("sid must be a text")
    return Claims(
        subject=subject,
        tenant=said["tenant"],
        scopes=frozenset(said["scope"].split()),
        kind=said["kind"],
        expires_at=_moment(expires),
        session=session,
        lifetime=timedelta(seconds=expires - issued),
    )


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise TokenInvalid("exp is not a moment") from error
