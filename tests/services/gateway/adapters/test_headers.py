"""Which headers travel."""

from services.gateway.adapters.headers import answered, forwarded


def test_what_only_the_gateway_may_say_does_not_pass() -> None:
    said = [
        (b"authorization", b"Bearer forged"),
        (b"x-api-key", b"secret"),
        (b"x-tenant", b"victim"),
        (b"x-tenant-id", b"victim"),
        (b"tenant", b"victim"),
        (b"x-scopes", b"*"),
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"x-forwarded-user", b"root"),
        (b"x-auth-user", b"root"),
        (b"forwarded", b"for=10.0.0.1"),
        (b"x-real-ip", b"10.0.0.1"),
        (b"x-request-id", b"forged"),
        (b"traceparent", b"00-0-0-00"),
        (b"cookie", b"session=1"),
        (b"host", b"evil"),
        (b"content-type", b"application/json"),
    ]

    assert forwarded(said) == [("content-type", "application/json")]


def test_headers_of_one_connection_stay_on_it() -> None:
    said = [
        (b"connection", b"keep-alive, X-Secret-Hop"),
        (b"x-secret-hop", b"1"),
        (b"keep-alive", b"timeout=5"),
        (b"te", b"trailers"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"proxy-authorization", b"Basic x"),
        (b"accept", b"*/*"),
    ]

    assert forwarded(said) == [("accept", "*/*")]


def test_text_that_is_not_ascii_arrives_as_it_was() -> None:
    assert forwarded([(b"x-note", "склад".encode())]) == [("x-note", "склад")]
    assert forwarded([(b"x-note", b"caf\xe9")]) == [("x-note", "café")]


def test_a_services_own_cors_and_connection_headers_end_at_the_gateway() -> None:
    said = [
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Connection", b"close, X-Hop"),
        (b"X-Hop", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Server", b"granian"),
        (b"Date", b"today"),
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
        (b"Content-Encoding", b"gzip"),
    ]

    assert answered(said) == [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"content-encoding", b"gzip"),
    ]
