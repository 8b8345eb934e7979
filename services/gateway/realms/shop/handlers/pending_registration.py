"""The token that registers a shop, for an hour, for a proved phone without an account.

It needs no storage. It is good once, for whoever has opened a shop has one.
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
"""Its `typ` and kind. Doors and services ask for another, and refuse it."""
CONTEXT: Final = "pending registration"


class NotPending(Unauthenticated):
    """This is not the token of somebody who may register."""


def pending_token(identity: Identity, keys: KeyRing, phone: str, *, issuer: str) -> str:
    """The token of who proved this phone (E.164), as the shop's clients know it (spec shop §2.3);
    what proves it is sealed."""
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
    """The phone (E.164) that was proved. Raises NotPending."""
    try:
        claims = tokens.verify(
            token, keys.public, audience=AUDIENCE, issuer=issuer, now=identity.clock(), typ=TYPE
        )
        return identity.seal.open(claims.subject, CONTEXT)
    except (TokenInvalid, SealBroken) as error:
        raise NotPending from error
