"""Seals and boxes: who opens them, where, and after how many keys."""

from base64 import urlsafe_b64encode

import pytest
from cryptography.fernet import Fernet
from hypothesis import example, given
from hypothesis import strategies as st

from libs.security.sealed_box import TAG_BYTES, generate_private, open_sealed, public_of, seal_to
from libs.security.sealing import Seal, SealBroken, derive_key, generate_key

OLD, NEW, OTHER = generate_key(), generate_key(), generate_key()
SEAL = Seal([OLD])
# Lone surrogates too: JSON from outside may hold them.
TEXTS = st.text(st.characters(codec=None))
ANNA, BORIS = generate_private(), generate_private()


@given(TEXTS, TEXTS)
def test_a_sealed_text_opens_in_its_context(text: str, context: str) -> None:
    assert SEAL.open(SEAL.seal(text, context), context) == text


@given(TEXTS, TEXTS, TEXTS)
@example("b:c", "a", "a:b")
@example("b:c", "a", "ab")
@example("b:c", "a", "a\x00")
@example("b:c", "a", "")
def test_a_sealed_text_opens_in_no_other_context(text: str, context: str, other: str) -> None:
    sealed = SEAL.seal(text, context)

    if other != context:
        with pytest.raises(SealBroken):
            SEAL.open(sealed, other)


def test_a_sealed_text_reveals_nothing_and_differs_every_time() -> None:
    sealed = {SEAL.seal("anna@example.com", "account-1") for _ in range(20)}

    assert len(sealed) == 20
    assert not any("anna" in text or "account" in text for text in sealed)


@given(st.integers(min_value=0), st.integers(0, 5))
def test_a_changed_seal_does_not_open(index: int, bit: int) -> None:
    raw = bytearray(SEAL.seal("text", "context").rstrip("=").encode())
    # The last character's lower bits mean nothing.
    raw[index % (len(raw) - 1)] ^= 1 << bit

    with pytest.raises(SealBroken):
        SEAL.open(raw.decode(), "context")


@pytest.mark.parametrize("sealed", ["", "x", "\ud800", "ключ", "gAAAAA==", "a" * 9999])
def test_what_is_no_seal_does_not_open(sealed: str) -> None:
    with pytest.raises(SealBroken):
        SEAL.open(sealed, "context")


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\0\0\x01\xff", b"\xff\xff\xff\xffabc"])
def test_other_texts_encrypted_with_our_key_do_not_open(payload: bytes) -> None:
    with pytest.raises(SealBroken):
        SEAL.open(Fernet(OLD).encrypt(payload).decode(), "context")


def test_a_new_key_in_front_opens_what_the_old_ones_sealed() -> None:
    sealed, rotated = SEAL.seal("text", "context"), Seal([NEW, OLD])

    assert rotated.open(sealed, "context") == "text"
    with pytest.raises(SealBroken):
        SEAL.open(rotated.seal("text", "context"), "context")


def test_a_digest_outlives_every_rotation() -> None:
    before = SEAL.digest("email", "anna@example.com")

    assert Seal([NEW, OLD]).digest("email", "anna@example.com") == before
    assert Seal([OTHER, NEW, OLD]).digest("email", "anna@example.com") == before
    assert Seal([NEW], digest_key=OLD).digest("email", "anna@example.com") == before
    assert Seal([NEW]).digest("email", "anna@example.com") != before


@given(st.tuples(TEXTS, TEXTS), st.tuples(TEXTS, TEXTS))
def test_only_equal_texts_have_equal_digests(
    first: tuple[str, str], second: tuple[str, str]
) -> None:
    assert (SEAL.digest(*first) == SEAL.digest(*second)) == (first == second)


def test_a_digest_is_hexadecimal_and_of_its_kind() -> None:
    digest = SEAL.digest("email", "x")

    assert len(digest) == len(bytes.fromhex(digest)) * 2 == 64
    assert digest != SEAL.digest("phone", "x")
    assert SEAL.digest("a", "bc") != SEAL.digest("ab", "c")


def test_a_derived_key_is_valid_for_one_purpose() -> None:
    assert derive_key(OLD, "refresh") == derive_key(OLD, "refresh")
    assert (
        len({derive_key(OLD, "refresh"), derive_key(OLD, "codes"), derive_key(NEW, "codes")}) == 3
    )
    assert len(derive_key(OLD, "refresh")) == 32


@pytest.mark.parametrize("key", ["", "hunter2", "ключ", urlsafe_b64encode(b"x" * 31).decode()])
def test_a_bad_key_is_refused_without_repeating_it(key: str) -> None:
    for keys, digest_key in (([key], None), ([OLD, key], None), ([OLD], key or "x")):
        with pytest.raises(ValueError, match=r"^not a ") as refused:
            Seal(keys, digest_key=digest_key)
        assert not key or key not in str(refused.value)
    with pytest.raises(ValueError, match="no key"):
        Seal([])


@given(st.text(max_size=100), st.text(max_size=20))
def test_the_owner_of_the_key_opens_a_box(text: str, context: str) -> None:
    sealed = seal_to(public_of(ANNA), text, context)

    assert open_sealed(ANNA, sealed, context) == text
    assert not text or len(text) < 4 or text.encode() not in sealed


def test_a_box_opens_with_its_key_in_its_context_only() -> None:
    sealed = seal_to(public_of(ANNA), "1234", "this scale")

    assert sealed != seal_to(public_of(ANNA), "1234", "this scale")
    for reader, context in ((BORIS, "this scale"), (ANNA, "that scale")):
        with pytest.raises(SealBroken):
            open_sealed(reader, sealed, context)


@given(st.data())
def test_a_changed_box_does_not_open(data: st.DataObject) -> None:
    sealed = bytearray(seal_to(public_of(ANNA), "1234", "scale"))
    index = data.draw(st.integers(0, len(sealed) - 1))
    bit = data.draw(st.integers(0, 7))
    sealed[index] ^= 1 << bit

    # The highest bit of a point does not count (RFC 7748 §5), but what it is bound to does.
    with pytest.raises(SealBroken):
        open_sealed(ANNA, bytes(sealed), "scale")


@given(st.binary(max_size=32 + TAG_BYTES + 8))
def test_what_is_no_box_does_not_open(junk: bytes) -> None:
    with pytest.raises(SealBroken):
        open_sealed(ANNA, junk, "")


@pytest.mark.parametrize("key", [b"", b"short", bytes(32), b"\x01" + bytes(31)])
def test_sealing_to_an_invalid_key_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        seal_to(key, "1234", "scale")

    assert "1234" not in str(refused.value)
