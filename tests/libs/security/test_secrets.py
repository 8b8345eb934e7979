"""API keys, one-time codes and refresh tokens are generated, read, and cannot be forged."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.security import api_keys, codes
from libs.security.refresh import issue, read
from libs.security.tokens import TokenInvalid

KEY, OTHER = bytes(range(32)), bytes(32)
SESSION = UUID("0198c0de-0000-7000-8000-000000000001")
SESSIONS = st.tuples(st.uuids(), st.integers(0, 2**32 - 1))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_an_api_key_has_a_prefix_and_a_secret_of_256_bits() -> None:
    keys = {api_keys.generate() for _ in range(200)}

    assert len(keys) == 200
    assert all(re.fullmatch(r"ts_[0-9A-Za-z]{8}_[0-9A-Za-z_-]{43}", key) for key in keys)


def test_the_prefix_reveals_nothing_of_our_keys_and_little_of_foreign_ones() -> None:
    key = api_keys.generate()

    assert api_keys.prefix(key) == key[: len("ts_12345678")]
    assert api_keys.prefix("0123456789abcdef0123456789abcdef") == "01234567"
    assert api_keys.prefix("0123456789abcdef") == "0123"
    assert api_keys.prefix("key") == api_keys.prefix("") == ""


def test_an_api_key_has_a_hash_of_its_own() -> None:
    key = api_keys.generate()
    hashed = api_keys.hash_key(key)

    assert re.fullmatch("[0-9a-f]{64}", hashed)
    assert len({hashed, *map(api_keys.hash_key, (key + "x", "\ud800\x00ключ"))}) == 3


def test_a_code_has_six_digits_and_they_differ() -> None:
    generated = [codes.generate() for _ in range(2000)]

    assert all(re.fullmatch("[0-9]{6}", code) for code in generated)
    # Two thousand of a million: a handful of pairs at most, and some that begin with zero.
    assert len(set(generated)) > 1950
    assert any(code.startswith("0") for code in generated)


def test_a_code_matches_its_own_hash_only() -> None:
    hashed = codes.hash_code(KEY, "login-1", "012345")

    assert re.fullmatch("[0-9a-f]{64}", hashed)
    assert codes.matches(KEY, "login-1", "012345", hashed)
    for code in ("012346", "12345", " 012345", "012345 ", "", "०१२३४५", "\ud800"):
        assert not codes.matches(KEY, "login-1", code, hashed)
    for wrong in ("", "ключ", "\ud800", "0" * 64):
        assert not codes.matches(KEY, "login-1", "012345", wrong)


def test_a_code_is_valid_for_one_challenge_and_one_key() -> None:
    hashed = codes.hash_code(KEY, "login-1", "012345")

    assert not codes.matches(KEY, "login-2", "012345", hashed)
    assert not codes.matches(OTHER, "login-1", "012345", hashed)
    assert codes.hash_code(KEY, "login-10", "12345") != hashed


def test_a_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        codes.hash_code(b"secret", "login-1", "012345")
    with pytest.raises(ValueError, match="32 bytes"):
        issue(b"secret", SESSION, 1)


@given(SESSIONS)
def test_a_refresh_token_holds_session_and_generation(session: tuple[UUID, int]) -> None:
    assert read(KEY, issue(KEY, *session)) == session


@given(SESSIONS, SESSIONS)
def test_only_the_same_generation_is_the_same_token(
    first: tuple[UUID, int], second: tuple[UUID, int]
) -> None:
    assert issue(KEY, *first) == issue(KEY, *first)
    assert (issue(KEY, *first) == issue(KEY, *second)) == (first == second)


@given(st.integers(0, 69), st.sampled_from(ALPHABET))
def test_a_refresh_token_with_one_character_changed_is_refused(index: int, character: str) -> None:
    token = issue(KEY, SESSION, 1)
    forged = token[:index] + character + token[index + 1 :]

    if forged != token:
        with pytest.raises(TokenInvalid):
            read(KEY, forged)


def test_the_next_generation_cannot_be_computed_without_the_key() -> None:
    raw = bytearray(urlsafe_b64decode(issue(KEY, SESSION, 1) + "=="))
    raw[19] = 2

    for forged in (urlsafe_b64encode(raw).rstrip(b"=").decode(), issue(OTHER, SESSION, 1)):
        with pytest.raises(TokenInvalid):
            read(KEY, forged)


@given(st.text() | st.text(ALPHABET, min_size=70, max_size=70))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(TokenInvalid):
        read(KEY, text)


@pytest.mark.parametrize("end", ["=", "==", "\n", " ", "A", "\ud800"])
def test_a_refresh_token_has_one_spelling(end: str) -> None:
    with pytest.raises(TokenInvalid):
        read(KEY, issue(KEY, SESSION, 1) + end)


def test_hash_and_token_are_those_of_earlier_releases() -> None:
    token = "AZjA3gAAcACAAAAAAAAAAQAAAAFwJ6_yhay-5FBUox3Zld7Vjm2-h3XtppAGhUBQbcrmQQ"

    assert issue(KEY, SESSION, 1) == token
    assert api_keys.hash_key("abc").startswith("ba7816bf8f01cfea414140de5dae2223")


@pytest.mark.parametrize("generation", [-1, 2**32])
def test_there_are_no_more_generations_than_fit(generation: int) -> None:
    with pytest.raises(OverflowError):
        issue(KEY, SESSION, generation)
