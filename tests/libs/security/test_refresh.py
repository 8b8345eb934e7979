"""Refresh tokens: computed, read back, and not to be forged."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.security.refresh import issue, read
from libs.security.tokens import TokenInvalid

KEY, OTHER = bytes(range(32)), bytes(32)
SESSION = UUID("0198c0de-0000-7000-8000-000000000001")
GENERATIONS = st.integers(0, 2**32 - 1)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.uuids(), GENERATIONS)
def test_a_token_says_which_session_and_which_generation(session: UUID, generation: int) -> None:
    assert read(KEY, issue(KEY, session, generation)) == (session, generation)


@given(st.uuids(), GENERATIONS)
def test_the_same_generation_is_the_same_token(session: UUID, generation: int) -> None:
    assert issue(KEY, session, generation) == issue(KEY, session, generation)


@given(st.tuples(st.uuids(), GENERATIONS), st.tuples(st.uuids(), GENERATIONS))
def test_no_two_generations_share_a_token(
    first: tuple[UUID, int], second: tuple[UUID, int]
) -> None:
    assert (issue(KEY, *first) == issue(KEY, *second)) == (first == second)


@given(st.integers(0, 69), st.sampled_from(ALPHABET))
def test_a_token_with_one_character_changed_is_refused(place: int, character: str) -> None:
    token = issue(KEY, SESSION, 1)
    forged = token[:place] + character + token[place + 1 :]

    if forged != token:
        with pytest.raises(TokenInvalid):
            read(KEY, forged)


def test_the_next_generation_cannot_be_computed_without_the_key() -> None:
    raw = bytearray(urlsafe_b64decode(issue(KEY, SESSION, 1) + "=="))
    raw[19] = 2

    with pytest.raises(TokenInvalid):
        read(KEY, urlsafe_b64encode(raw).rstrip(b"=").decode())


def test_a_token_of_another_key_is_refused() -> None:
    with pytest.raises(TokenInvalid):
        read(KEY, issue(OTHER, SESSION, 1))


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(TokenInvalid):
        read(KEY, text)


@given(st.text(ALPHABET, min_size=70, max_size=70))
def test_text_of_the_right_shape_is_refused(text: str) -> None:
    with pytest.raises(TokenInvalid):
        read(KEY, text)


@pytest.mark.parametrize("end", ["=", "==", "\n", " ", "A", "\ud800"])
def test_a_token_has_one_spelling(end: str) -> None:
    with pytest.raises(TokenInvalid):
        read(KEY, issue(KEY, SESSION, 1) + end)


def test_the_token_is_the_published_one_so_that_those_given_out_stay_good() -> None:
    token = "AZjA3gAAcACAAAAAAAAAAQAAAAFwJ6_yhay-5FBUox3Zld7Vjm2-h3XtppAGhUBQbcrmQQ"

    assert issue(KEY, SESSION, 1) == token


def test_a_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        issue(b"secret", SESSION, 1)


@pytest.mark.parametrize("generation", [-1, 2**32])
def test_there_are_no_more_generations_than_fit(generation: int) -> None:
    with pytest.raises(OverflowError):
        issue(KEY, SESSION, generation)
