"""Rings of keys: what signs, what still verifies, what is published."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.security.tokens import (
    KeyRing,
    KeyUnknown,
    SigningKey,
    issue,
    jwks,
    keys_from_jwks,
    verify,
)

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
OLDEST, OLD, NEW = SigningKey.generate(), SigningKey.generate(), SigningKey.generate()


def a_token(ring: KeyRing) -> str:
    return issue(
        ring.current,
        subject="anna",
        tenant="flora",
        scopes=(),
        kind="crm",
        audience="tillstream",
        issuer="gateway",
        now=NOW,
        lifetime=timedelta(minutes=5),
    )


def subject(token: str, ring: KeyRing) -> str:
    """Whom a verifier that fetched the ring's key set takes the bearer for."""
    keys = keys_from_jwks(jwks(ring))
    return verify(token, keys, audience="tillstream", issuer="gateway", now=NOW).subject


def test_a_rotated_ring_signs_with_the_new_key_and_still_verifies_the_old() -> None:
    before = KeyRing(OLD)
    after = before.rotated(NEW)

    assert after.current == NEW
    assert subject(a_token(before), after) == "anna"
    assert subject(a_token(after), after) == "anna"
    with pytest.raises(KeyUnknown):
        subject(a_token(after), before)


def test_a_key_is_dropped_once_enough_others_came_after_it() -> None:
    ring = KeyRing(OLDEST).rotated(OLD).rotated(NEW)

    assert [key.kid for key in ring] == [NEW.kid, OLD.kid]
    with pytest.raises(KeyUnknown):
        subject(a_token(KeyRing(OLDEST)), ring)


def test_a_withdrawn_key_can_go_at_once() -> None:
    assert list(KeyRing(OLD).rotated(NEW, keep=0)) == [NEW]


def test_rotating_to_a_key_of_the_ring_keeps_it_once() -> None:
    ring = KeyRing(NEW, (OLD,)).rotated(OLD, keep=2)

    assert [key.kid for key in ring] == [OLD.kid, NEW.kid]


def test_the_key_set_of_a_ring_names_all_its_keys_and_no_secret() -> None:
    published = jwks(KeyRing(NEW, (OLD,)))["keys"]

    assert [key["kid"] for key in published] == [NEW.kid, OLD.kid]
    assert not any("d" in key for key in published)
    assert set(KeyRing(NEW, (OLD,)).public) == {NEW.kid, OLD.kid}


def test_a_ring_survives_its_pem_in_its_order() -> None:
    ring = KeyRing(NEW, (OLD, OLDEST))

    assert [key.kid for key in KeyRing.from_pem(ring.to_pem())] == [key.kid for key in ring]
    assert KeyRing.from_pem(OLD.to_pem()).current.kid == OLD.kid


@pytest.mark.parametrize("pem", ["", "hunter2", OLD.to_pem() + "-----BEGIN X-----y-----END X-----"])
def test_a_ring_with_anything_else_in_it_is_refused_without_repeating_it(pem: str) -> None:
    with pytest.raises(ValueError, match=r"^not an unencrypted PEM private key$"):
        KeyRing.from_pem(pem)
