"""Tokens, and the ways to forge them.

Longer than most: one list of the ways to forge a token.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from libs.security.tokens import (
    Claims,
    KeyUnknown,
    SigningKey,
    TokenInvalid,
    issue,
    jwks,
    keys_from_jwks,
    verify,
)

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
KEY = SigningKey.generate()
KEYS = {KEY.kid: KEY.public}


def a_token(key: SigningKey = KEY, **changed: Any) -> str:
    said: dict[str, Any] = {
        "subject": "anna",
        "tenant": "flora",
        "scopes": {"scan:write", "scan:read"},
        "kind": "person",
        "audience": "tillstream",
        "issuer": "gateway",
        "now": NOW,
        "lifetime": timedelta(minutes=5),
    }
    return issue(key, **(said | changed))


def check(token: str, *, now: datetime = NOW, typ: str = "internal") -> Claims:
    return verify(token, KEYS, audience="tillstream", issuer="gateway", now=now, typ=typ)


def encoded(part: dict[str, Any] | bytes) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return said


def signed(claims: dict[str, Any], **headers: Any) -> str:
    """A token with any claims at all, signed by our own key."""
    return jwt.encode(
        claims,
        KEY.private,
        algorithm="EdDSA",
        headers={"kid": KEY.kid, "typ": "internal", **headers},
    )


def test_a_token_says_who_what_and_until_when() -> None:
    assert check(a_token()) == Claims(
        subject="anna",
        tenant="flora",
        scopes=frozenset({"scan:write", "scan:read"}),
        kind="person",
        expires_at=NOW + timedelta(minutes=5),
    )


def test_a_token_without_scopes_permits_nothing() -> None:
    assert check(a_token(scopes=())).scopes == frozenset()


def test_a_token_of_a_session_says_which() -> None:
    assert check(a_token(session="0198c0de")).session == "0198c0de"
    assert check(a_token()).session == ""
    assert "sid" not in decoded(a_token().split(".")[1])


@pytest.mark.parametrize(
    "changed",
    [
        {"audience": "elsewhere"},
        {"issuer": "somebody"},
        {"typ": "JWT"},
        {"subject": ""},
        {"tenant": ""},
        {"now": NOW + timedelta(minutes=2)},
    ],
)
def test_a_token_meant_for_another_place_or_time_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        check(a_token(**changed))


def test_a_token_expires_to_the_second() -> None:
    token = a_token(lifetime=timedelta(seconds=60))

    assert check(token, now=NOW + timedelta(seconds=59)).subject == "anna"
    with pytest.raises(TokenInvalid, match="expired"):
        check(token, now=NOW + timedelta(seconds=60))


def test_a_token_of_another_type_passes_only_where_that_type_is_asked_for() -> None:
    token = a_token(typ="access")

    assert check(token, typ="access").subject == "anna"
    with pytest.raises(TokenInvalid, match="typ"):
        check(token)


@pytest.mark.parametrize("missing", ["aud", "exp", "iat", "iss", "sub", "tenant", "scope", "kind"])
def test_a_claim_left_out_is_refused(missing: str) -> None:
    claims = decoded(a_token().split(".")[1])
    assert check(signed(claims)).subject == "anna"

    del claims[missing]

    with pytest.raises(TokenInvalid):
        check(signed(claims))


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": float("inf")},
        {"exp": True},
        {"exp": 10**30},
        {"exp": "9999999999"},
        {"iat": float("nan")},
        {"iat": None},
        {"aud": ["tillstream", "elsewhere"]},
        {"scope": ["everything"]},
        {"tenant": 7},
        {"sid": 7},
        {"sid": None},
        {"sid": ["0198c0de"]},
    ],
)
def test_a_claim_of_the_wrong_shape_is_refused(changed: dict[str, Any]) -> None:
    claims = decoded(a_token().split(".")[1])

    with pytest.raises(TokenInvalid):
        check(signed(claims | changed))


def test_an_unsigned_token_is_refused() -> None:
    _, claims, signature = a_token().split(".")
    for alg in ("none", "None", "NONE", ""):
        header = encoded({"alg": alg, "kid": KEY.kid, "typ": "internal"})
        for end in ("", signature):
            with pytest.raises(TokenInvalid):
                check(f"{header}.{claims}.{end}")


def test_the_public_key_does_not_pass_as_an_hmac_secret() -> None:
    claims = a_token().split(".")[1]
    header = encoded({"alg": "HS256", "kid": KEY.kid, "typ": "internal"})
    shapes = [
        (serialization.Encoding.Raw, serialization.PublicFormat.Raw),
        (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    ]
    for encoding, shape in shapes:
        mac = hmac.HMAC(KEY.public.public_bytes(encoding, shape), hashes.SHA256())
        mac.update(f"{header}.{claims}".encode())
        with pytest.raises(TokenInvalid, match="alg"):
            check(f"{header}.{claims}.{encoded(mac.finalize())}")


def test_changed_claims_are_refused() -> None:
    header, claims, signature = a_token().split(".")
    raised = decoded(claims) | {"scope": "everything"}

    with pytest.raises(TokenInvalid):
        check(f"{header}.{encoded(raised)}.{signature}")


def test_a_session_taken_out_of_the_claims_is_refused() -> None:
    header, claims, signature = a_token(session="0198c0de").split(".")
    said = decoded(claims)
    del said["sid"]

    with pytest.raises(TokenInvalid):
        check(f"{header}.{encoded(said)}.{signature}")


def test_another_key_under_our_kid_is_refused() -> None:
    forged = jwt.encode(
        decoded(a_token().split(".")[1]),
        SigningKey.generate().private,
        algorithm="EdDSA",
        headers={"kid": KEY.kid, "typ": "internal"},
    )

    with pytest.raises(TokenInvalid):
        check(forged)


def test_an_unknown_kid_is_told_apart_so_that_newer_keys_can_be_fetched() -> None:
    with pytest.raises(KeyUnknown):
        check(a_token(SigningKey.generate()))


@pytest.mark.parametrize("kid", [None, 7, ["x"], "../../dev/null", ""])
def test_a_kid_that_is_no_name_of_a_key_is_refused(kid: object) -> None:
    header = encoded({"alg": "EdDSA", "kid": kid, "typ": "internal"})
    _, claims, signature = a_token().split(".")

    with pytest.raises(TokenInvalid):
        check(f"{header}.{claims}.{signature}")


def test_a_key_carried_in_the_token_itself_is_ignored() -> None:
    other = SigningKey.generate()
    own = jwks([other])["keys"][0]
    forged = jwt.encode(
        decoded(a_token().split(".")[1]),
        other.private,
        algorithm="EdDSA",
        headers={"kid": other.kid, "typ": "internal", "jwk": own},
    )

    with pytest.raises(KeyUnknown):
        check(forged)


def test_an_extension_we_do_not_know_but_must_is_refused() -> None:
    with pytest.raises(TokenInvalid):
        check(signed(decoded(a_token().split(".")[1]), crit=["exp"], exp=1))


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "\ud800.\x00.ключ", "a" * 9000, "null"])
def test_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(TokenInvalid):
        check(text)


def test_a_published_key_set_verifies_and_holds_nothing_private() -> None:
    second = SigningKey.generate()
    published = json.loads(json.dumps(jwks([KEY, second])))

    keys = keys_from_jwks(published)

    assert set(keys) == {KEY.kid, second.kid}
    claims = verify(a_token(second), keys, audience="tillstream", issuer="gateway", now=NOW)
    assert claims.subject == "anna"
    assert all("d" not in key for key in published["keys"])


def test_the_kid_is_the_thumbprint_of_rfc_8037() -> None:
    # RFC 8037 appendix A.3.
    public = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    kid = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

    keys = keys_from_jwks({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public, "kid": kid}]})

    assert list(keys) == [kid]


def test_foreign_and_mislabelled_keys_of_a_set_are_left_out() -> None:
    ours = jwks([KEY])["keys"][0]
    other = jwks([SigningKey.generate()])["keys"][0]
    keys: list[object] = [
        {"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"},
        {**other, "kid": KEY.kid},
        {**other, "x": "short"},
        {**other, "x": "ключ"},
        "text",
        ours,
    ]

    assert list(keys_from_jwks({"keys": keys})) == [KEY.kid]


@pytest.mark.parametrize("document", [None, [], {}, {"keys": None}])
def test_what_is_no_key_set_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="not a key set"):
        keys_from_jwks(document)


def test_a_key_survives_its_pem() -> None:
    assert SigningKey.from_pem(KEY.to_pem()).kid == KEY.kid


def test_a_pem_of_anything_else_is_refused_without_repeating_it() -> None:
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(ValueError, match=r"^not an Ed25519 key$"):
        SigningKey.from_pem(other)
    with pytest.raises(ValueError, match=r"^not an unencrypted PEM private key$"):
        SigningKey.from_pem("hunter2")
