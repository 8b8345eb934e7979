"""Which headers travel."""

import pytest

from services.gateway.adapters.headers import answered, forwarded

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

    assert answered(dropped + passed) == [(name.lower(), value) for name, value in passed]
