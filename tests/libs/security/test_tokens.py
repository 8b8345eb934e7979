"""Tokens and the ways to forge them; rings of keys: what signs, verifies and is published."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from libs.security.tokens import (
    Claims,
    KeyRing,
    KeyUnknown,
    SigningKey,
    TokenInvalid,
    issue,
    jwks,
    keys_from_jwks,
    verify,
)

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
KEY, OTHER, THIRD = SigningKey.generate(), SigningKey.generate(), SigningKey.generate()


def a_token(key: SigningKey = KEY, **changed: Any) -> str:
    given: dict[str, Any] = {
        "subject": "anna",
        "tenant": "flora",
        "scopes": {"scan:write", "scan:read"},
        "kind": "person",
        "audience": "tillstream",
        "issuer": "gateway",
        "now": NOW,
        "lifetime": timedelta(minutes=5),
    }
    return issue(key, **(given | changed))


def check(
    token: str, *, now: datetime = NOW, typ: str = "internal", keys: Iterable[SigningKey] = (KEY,)
) -> Claims:
    """What a verifier that fetched the key set takes the token for."""
    known = keys_from_jwks(json.loads(json.dumps(jwks(keys))))
    return verify(token, known, audience="tillstream", issuer="gateway", now=now, typ=typ)


def encoded(part: dict[str, Any] | bytes) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def signed(claims: dict[str, Any], key: SigningKey = KEY, **headers: Any) -> str:
    """A token with any claims at all, signed by our own key unless another is given."""
    headers = {"kid": KEY.kid, "typ": "internal", **headers}
    return jwt.encode(claims, key.private, algorithm="EdDSA", headers=headers)


def with_header(**changed: Any) -> str:
    """A good token under another header."""
    _, claims, signature = a_token().split(".")
    header = {"alg": "EdDSA", "kid": KEY.kid, "typ": "internal"} | changed
    return f"{encoded(header)}.{claims}.{signature}"


def with_claims(token: str, **changed: Any) -> str:
    """A token whose claims were changed after it was signed; None takes one out."""
    header, _, signature = token.split(".")
    claims = {n: value for n, value in (claims_of(token) | changed).items() if value is not None}
    return f"{header}.{encoded(claims)}.{signature}"


def by_hmac(
    encoding: serialization.Encoding, shape: serialization.PublicFormat
) -> Callable[[], str]:
    """A token signed by HMAC with our public key as the secret."""

    def forge() -> str:
        unsigned = with_header(alg="HS256").rpartition(".")[0]
        mac = hmac.HMAC(KEY.public.public_bytes(encoding, shape), hashes.SHA256())
        mac.update(unsigned.encode())
        return f"{unsigned}.{encoded(mac.finalize())}"

    return forge


def test_a_token_holds_subject_scopes_and_expiry() -> None:
    assert check(a_token()) == Claims(
        subject="anna",
        tenant="flora",
        scopes=frozenset({"scan:write", "scan:read"}),
        kind="person",
        expires_at=NOW + timedelta(minutes=5),
    )
    assert check(a_token(scopes=())).scopes == frozenset()


def test_a_token_of_a_session_holds_its_id() -> None:
    assert check(a_token(session="0198c0de")).session == "0198c0de"
    assert check(a_token()).session == ""
    assert "sid" not in claims_of(a_token())


def test_extra_claims_replace_no_claim_of_ours_but_sub() -> None:
    extra = {"sub": "7", "user_id": 7, "tenant": "another", "exp": 4_000_000_000, "kind": "x"}

    token = a_token(extra=extra)

    assert check(token) == check(a_token())
    assert (claims_of(token)["sub"], claims_of(token)["user_id"]) == ("7", 7)


@pytest.mark.parametrize(
    "changed",
    [
        {"audience": "elsewhere"},
        {"issuer": "somebody"},
        {"typ": "JWT"},
        {"subject": ""},
        {"subject": "", "extra": {"sub": "7"}},
        {"subject": ["anna"], "extra": {"sub": "7"}},
        {"extra": {"sub": 7}},
        {"tenant": ""},
        {"now": NOW + timedelta(minutes=2)},
    ],
    ids=str,
)
def test_a_token_for_another_audience_issuer_or_time_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        check(a_token(**changed))


def test_a_token_expires_to_the_second() -> None:
    token = a_token(lifetime=timedelta(seconds=60))

    assert check(token, now=NOW + timedelta(seconds=59)).subject == "anna"
    with pytest.raises(TokenInvalid, match="expired"):
        check(token, now=NOW + timedelta(seconds=60))


@pytest.mark.parametrize("missing", ["aud", "exp", "iat", "iss", "sub", "tenant", "scope", "kind"])
def test_a_claim_left_out_is_refused(missing: str) -> None:
    claims = claims_of(a_token())
    assert check(signed(claims)).subject == "anna"

    del claims[missing]

    with pytest.raises(TokenInvalid):
        check(signed(claims))


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *(("exp", value) for value in (float("inf"), True, 10**30, "9999999999")),
        *(("iat", value) for value in (float("nan"), None)),
        ("aud", ["tillstream", "elsewhere"]),
        ("scope", ["everything"]),
        ("tenant", 7),
        *(("sid", value) for value in (7, None, ["0198c0de"])),
    ],
)
def test_a_claim_of_the_wrong_shape_is_refused(claim: str, value: object) -> None:
    with pytest.raises(TokenInvalid):
        check(signed(claims_of(a_token()) | {claim: value}))


RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
PEM = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
FORGED: dict[str, tuple[Callable[[], str], type[Exception], str | None]] = {
    "the public key as an HMAC secret": (by_hmac(*RAW), TokenInvalid, "alg"),
    "the public key's PEM as an HMAC secret": (by_hmac(*PEM), TokenInvalid, "alg"),
    "claims changed": (lambda: with_claims(a_token(), scope="everything"), TokenInvalid, None),
    "session taken out": (lambda: with_claims(a_token(session="s1"), sid=None), TokenInvalid, None),
    "another key under our kid": (lambda: signed(claims_of(a_token()), OTHER), TokenInvalid, None),
    # Apart from the others, so that newer keys can be fetched.
    "an unknown kid": (lambda: a_token(OTHER), KeyUnknown, None),
    "a key carried in the token itself": (
        lambda: signed(claims_of(a_token()), OTHER, kid=OTHER.kid, jwk=jwks([OTHER])["keys"][0]),
        KeyUnknown,
        None,
    ),
    "an extension we do not know but must": (
        lambda: signed(claims_of(a_token()), crit=["exp"], exp=1),
        TokenInvalid,
        None,
    ),
}


@pytest.mark.parametrize("forgery", FORGED)
def test_a_forged_token_is_refused(forgery: str) -> None:
    forge, refusal, words = FORGED[forgery]

    with pytest.raises(refusal, match=words):
        check(forge())


@pytest.mark.parametrize("alg", ["none", "None", "NONE", ""])
def test_an_unsigned_token_is_refused(alg: str) -> None:
    token = with_header(alg=alg)
    for text in (token, token.rpartition(".")[0] + "."):
        with pytest.raises(TokenInvalid):
            check(text)


@pytest.mark.parametrize("kid", [None, 7, ["x"], "../../dev/null", ""])
def test_a_kid_that_is_no_name_of_a_key_is_refused(kid: object) -> None:
    with pytest.raises(TokenInvalid):
        check(with_header(kid=kid))


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "\ud800.\x00.ключ", "a" * 9000, "null"])
def test_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(TokenInvalid):
        check(text)


def test_a_published_key_set_verifies_and_holds_nothing_private() -> None:
    ring = KeyRing(OTHER, (KEY,))
    published = json.loads(json.dumps(jwks(ring)))

    assert [key["kid"] for key in published["keys"]] == [OTHER.kid, KEY.kid]
    assert set(keys_from_jwks(published)) == set(ring.public) == {KEY.kid, OTHER.kid}
    assert check(a_token(OTHER), keys=[KEY, OTHER]).subject == "anna"
    assert all("d" not in key for key in published["keys"])


def test_the_kid_is_the_thumbprint_of_rfc_8037() -> None:
    # RFC 8037 appendix A.3.
    public = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    kid = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

    keys = keys_from_jwks({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public, "kid": kid}]})

    assert list(keys) == [kid]


def test_foreign_and_mislabelled_keys_of_a_set_are_left_out() -> None:
    other = jwks([OTHER])["keys"][0]
    keys: list[object] = [
        {"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"},
        {**other, "kid": KEY.kid},
        {**other, "x": "short"},
        {**other, "x": "ключ"},
        "text",
        jwks([KEY])["keys"][0],
    ]

    assert list(keys_from_jwks({"keys": keys})) == [KEY.kid]


@pytest.mark.parametrize("document", [None, [], {}, {"keys": None}])
def test_what_is_no_key_set_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="not a key set"):
        keys_from_jwks(document)


def test_a_pem_of_anything_else_is_refused_without_repeating_it() -> None:
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match=r"^not an Ed25519 key$"):
        SigningKey.from_pem(other)
    with pytest.raises(ValueError, match=r"^not an unencrypted PEM private key$"):
        SigningKey.from_pem("hunter2")


def test_a_rotated_ring_signs_with_the_new_key_and_still_verifies_the_old() -> None:
    before = KeyRing(KEY)
    after = before.rotated(OTHER)

    assert after.current == OTHER
    for ring in (before, after):
        assert check(a_token(ring.current), keys=after).subject == "anna"
    with pytest.raises(KeyUnknown):
        check(a_token(after.current), keys=before)


def test_a_key_is_dropped_once_enough_others_came_after_it_or_at_once() -> None:
    assert list(KeyRing(KEY).rotated(OTHER, older=0)) == [OTHER]
    ring = KeyRing(KEY).rotated(OTHER).rotated(THIRD)

    assert [key.kid for key in ring] == [THIRD.kid, OTHER.kid]
    with pytest.raises(KeyUnknown):
        check(a_token(KEY), keys=ring)


def test_rotating_to_a_key_of_the_ring_keeps_it_once() -> None:
    ring = KeyRing(OTHER, (KEY,)).rotated(KEY, older=2)

    assert [key.kid for key in ring] == [KEY.kid, OTHER.kid]


def test_keys_and_rings_survive_their_pem_in_their_order() -> None:
    ring = KeyRing(THIRD, (KEY, OTHER))

    assert SigningKey.from_pem(KEY.to_pem()).kid == KEY.kid
    assert [key.kid for key in KeyRing.from_pem(ring.to_pem())] == [key.kid for key in ring]
    assert KeyRing.from_pem(KEY.to_pem()).current.kid == KEY.kid


@pytest.mark.parametrize("more", ["", "hunter2", "-----BEGIN X-----y-----END X-----"])
def test_a_ring_with_anything_else_in_it_is_refused_without_repeating_it(more: str) -> None:
    pem = KEY.to_pem() + more if more.startswith("-") else more
    with pytest.raises(ValueError, match=r"^not an unencrypted PEM private key$"):
        KeyRing.from_pem(pem)
