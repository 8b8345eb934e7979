"""The token of who proved a phone and has no shop yet."""

from datetime import timedelta

import pytest

from libs.security.tokens import KeyRing, SigningKey
from services.gateway.handlers.identity import Identity
from services.gateway.handlers.pending_registration import (
    LIFETIME,
    NotPending,
    pending_token,
    phone_of,
)
from tests.services.gateway.told import Clock

PHONE = "+77011234567"
KEYS = KeyRing(SigningKey.generate())


async def test_it_says_whose_phone_was_proved_for_an_hour(identity: Identity, clock: Clock) -> None:
    token = pending_token(identity, KEYS, PHONE, issuer="us")

    assert phone_of(identity, KEYS, token, issuer="us") == PHONE
    clock.now += LIFETIME - timedelta(seconds=1)
    assert phone_of(identity, KEYS, token, issuer="us") == PHONE
    clock.pass_by(seconds=1)
    with pytest.raises(NotPending):
        phone_of(identity, KEYS, token, issuer="us")


async def test_that_of_another_issuer_or_key_is_none(identity: Identity) -> None:
    token = pending_token(identity, KEYS, PHONE, issuer="us")

    with pytest.raises(NotPending):
        phone_of(identity, KEYS, token, issuer="them")
    with pytest.raises(NotPending):
        phone_of(identity, KeyRing(SigningKey.generate()), token, issuer="us")
