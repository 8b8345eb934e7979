"""What travels through the gateway: which headers, and passes by which services know callers."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from libs.security import tokens
from libs.testing.callers import KEY
from libs.testing.clock import Clock
from services.gateway.doors.adapters import forwarded, returned
from services.gateway.doors.domain.caller import Caller
from services.gateway.proxy.adapters.internal_tokens import InternalTokenIssuer

ONLY_THE_GATEWAY_SAYS = (
    *(b"authorization", b"x-api-key", b"x-tenant", b"x-tenant-id", b"tenant", b"x-scopes"),
    *(b"x-forwarded-for", b"x-forwarded-user", b"x-auth-user", b"forwarded", b"x-real-ip"),
    *(b"x-request-id", b"traceparent", b"cookie", b"host"),
)
OF_ONE_CONNECTION = [
    (b"connection", b"keep-alive, X-Secret-Hop"),
    (b"x-secret-hop", b"1"),
    (b"keep-alive", b"timeout=5"),
    (b"te", b"trailers"),
    (b"transfer-encoding", b"chunked"),
    (b"upgrade", b"h2c"),
    (b"proxy-authorization", b"Basic x"),
]


@pytest.mark.parametrize(
    "dropped",
    [
        pytest.param([(name, b"forged") for name in ONLY_THE_GATEWAY_SAYS], id="gateway"),
        pytest.param(OF_ONE_CONNECTION, id="connection"),
    ],
)
def test_what_only_the_gateway_may_say_or_concerns_one_connection_does_not_pass(
    dropped: list[tuple[bytes, bytes]],
) -> None:
    assert forwarded([*dropped, (b"accept", b"*/*")]) == [("accept", "*/*")]


def test_text_that_is_not_ascii_arrives_as_it_was() -> None:
    assert forwarded([(b"x-note", "склад".encode())]) == [("x-note", "склад")]
    assert forwarded([(b"x-note", b"caf\xe9")]) == [("x-note", "café")]


def test_a_services_own_cors_and_connection_headers_end_at_the_gateway() -> None:
    dropped = [
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Connection", b"close, X-Hop"),
        (b"X-Hop", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Server", b"granian"),
        (b"X-Request-Id", b"forged"),
        (b"Date", b"today"),
    ]
    passed = [(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2"), (b"Content-Encoding", b"gzip")]

    assert returned(dropped + passed) == [(name.lower(), value) for name, value in passed]


LIFETIME = timedelta(seconds=100)
ANNA = Caller(tenant="demo", subject=UUID(int=1), scopes=frozenset({"scan:read", "scan:write"}))


@pytest.fixture
def internal_tokens(clock: Clock) -> InternalTokenIssuer:
    return InternalTokenIssuer(
        tokens.KeyRing(KEY), issuer="gateway", lifetime=LIFETIME, clock=clock
    )


def claims(bearer: str, clock: Clock, audience: str = "ingest") -> tokens.Claims:
    keys = tokens.keys_from_jwks(tokens.jwks([KEY]))
    token = bearer.removeprefix("Bearer ")
    return tokens.verify(token, keys, audience=audience, issuer="gateway", now=clock())


def test_a_pass_is_used_again_until_it_is_old(
    internal_tokens: InternalTokenIssuer, clock: Clock
) -> None:
    first = internal_tokens.bearer(ANNA, "ingest")

    clock.advance(seconds=79)
    again = internal_tokens.bearer(ANNA, "ingest")
    clock.advance(seconds=2)
    renewed = internal_tokens.bearer(ANNA, "ingest")

    assert again == first
    assert claims(renewed, clock).expires_at == clock() + LIFETIME


def test_other_rights_are_never_served_from_an_earlier_pass(
    internal_tokens: InternalTokenIssuer, clock: Clock
) -> None:
    internal_tokens.bearer(ANNA, "ingest")

    less = internal_tokens.bearer(replace(ANNA, scopes=frozenset({"scan:read"})), "ingest")
    elsewhere = internal_tokens.bearer(replace(ANNA, tenant="other"), "ingest")

    assert claims(less, clock).scopes == {"scan:read"}
    assert claims(elsewhere, clock).tenant == "other"
