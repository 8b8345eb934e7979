"""The tokens by which services know a caller."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from libs.security import tokens
from libs.testing.callers import KEY
from libs.testing.clock import Clock
from services.gateway.adapters.passes import Passes
from services.gateway.domain.caller import Caller

LIFETIME = timedelta(seconds=100)
ANNA = Caller(tenant="demo", subject=UUID(int=1), scopes=frozenset({"scan:read", "scan:write"}))


@pytest.fixture
def passes(clock: Clock) -> Passes:
    return Passes(tokens.KeyRing(KEY), issuer="gateway", lifetime=LIFETIME, clock=clock)


def claims(bearer: str, clock: Clock, audience: str = "ingest") -> tokens.Claims:
    keys = tokens.keys_from_jwks(tokens.jwks([KEY]))
    token = bearer.removeprefix("Bearer ")
    return tokens.verify(token, keys, audience=audience, issuer="gateway", now=clock())


def test_a_pass_is_used_again_until_it_is_old(passes: Passes, clock: Clock) -> None:
    first = passes.bearer(ANNA, "ingest")

    clock.advance(seconds=79)
    again = passes.bearer(ANNA, "ingest")
    clock.advance(seconds=2)
    renewed = passes.bearer(ANNA, "ingest")

    assert again == first
    assert claims(renewed, clock).expires_at == clock() + LIFETIME


def test_other_rights_are_never_served_from_an_earlier_pass(passes: Passes, clock: Clock) -> None:
    passes.bearer(ANNA, "ingest")

    less = passes.bearer(replace(ANNA, scopes=frozenset({"scan:read"})), "ingest")
    elsewhere = passes.bearer(replace(ANNA, tenant="other"), "ingest")

    assert claims(less, clock).scopes == {"scan:read"}
    assert claims(elsewhere, clock).tenant == "other"
