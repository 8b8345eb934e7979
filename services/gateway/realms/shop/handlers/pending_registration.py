"""The token that registers a shop: for a proved phone without a shop, valid for an hour.

It needs no storage: it works once, since an account can register one shop.
"""

from datetime import timedelta
from typing import Final

from libs.errors import Unauthenticated
from libs.security import tokens
from libs.security.sealing import SealBroken
from libs.security.tokens import KeyRing, TokenInvalid
from services.gateway.accounts.domain.realm import PLATFORM
from services.gateway.accounts.handlers.identity import Identity

LIFETIME: Final = timedelta(minutes=60)
AUDIENCE: Final = "tillstream shop registration"
TYPE: Final = "pending"
"""Its `typ` and kind. Doors and services require another type and refuse it."""
CONTEXT: Final = "pending registration"


class NotPending(Unauthenticated):
    """This is not a valid token for registration."""


def pending_token(identity: Identity, keys: KeyRing, phone: str, *, issuer: str) -> str:
    """A token for a proved phone (E.164), in the form of the shop's clients (spec shop §2.3).

    The phone is also sealed in it as the proof.
    """
    return tokens.issue(
        keys.current,
        subject=identity.seal.seal(phone, CONTEXT),
        tenant=PLATFORM,
        scopes=(),
        kind=TYPE,
        audience=AUDIENCE,
        issuer=issuer,
        now=identity.clock(),
        lifetime=LIFETIME,
        typ=TYPE,
        extra={"sub": TYPE, "phone": phone},
    )


def phone_of(identity: Identity, keys: KeyRing, token: str, *, issuer: str) -> str:
    """The phone (E.164) that a token proves. Raises NotPending."""
    try:
        claims = tokens.verify(
            token, keys.public, audience=AUDIENCE, issuer=issuer, now=identity.clock(), typ=TYPE
        )
        return identity.seal.open(claims.subject, CONTEXT)
    except (TokenInvalid, SealBroken) as error:
        raise NotPending from error
