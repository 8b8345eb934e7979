"""The tokens by which services know a caller."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from libs.security import tokens
from services.gateway.adapters.passes import Passes
from services.gateway.domain.caller import Caller

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY = tokens.SigningKey.generate()
ANNA = Caller(tenant="demo", subject=UUID(int=1), scopes=frozenset({"scan:read", "scan:write"}))


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


def passes(clock: Clock) -> Passes:
    return Passes(
        tokens.KeyRing(KEY), issuer="gateway", lifetime=timedelta(seconds=100), clock=clock
    )


def claims(bearer: str, now: datetime, audience: str = "ingest") -> tokens.Claims:
    keys = tokens.keys_from_jwks(tokens.jwks([KEY]))
    token = bearer.removeprefix("Bearer ")
    return tokens.verify(token, keys, audience=audience, issuer="gateway", now=now)


def test_a_pass_says_who_whose_and_what_for() -> None:
    said = claims(passes(Clock()).bearer(ANNA, "ingest"), NOW)

    assert said.subject == str(ANNA.subject)
    assert said.tenant == "demo"
    assert said.scopes == {"scan:read", "scan:write"}
    assert said.expires_at == NOW + timedelta(seconds=100)


def test_a_pass_for_one_service_is_not_good_for_another() -> None:
    bearer = passes(Clock()).bearer(ANNA, "ingest")

    with pytest.raises(tokens.TokenInvalid):
        claims(bearer, NOW, audience="crm")


def test_a_pass_is_used_again_until_it_is_old() -> None:
    clock = Clock()
    made = passes(clock)
    first = made.bearer(ANNA, "ingest")

    clock.now = NOW + timedelta(seconds=79)
    again = made.bearer(ANNA, "ingest")
    clock.now = NOW + timedelta(seconds=81)
    renewed = made.bearer(ANNA, "ingest")

    assert again == first
    assert claims(renewed, clock.now).expires_at == clock.now + timedelta(seconds=100)


def test_other_rights_are_never_served_from_an_earlier_pass() -> None:
    made = passes(Clock())
    made.bearer(ANNA, "ingest")

    less = made.bearer(replace(ANNA, scopes=frozenset({"scan:read"})), "ingest")
    elsewhere = made.bearer(replace(ANNA, tenant="other"), "ingest")

    assert claims(less, NOW).scopes == {"scan:read"}
    assert claims(elsewhere, NOW).tenant == "other"
