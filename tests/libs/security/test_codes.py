"""One-time codes."""

import re

import pytest

from libs.security import codes

KEY, OTHER = bytes(range(32)), bytes(32)


def test_a_code_has_six_digits_and_they_differ() -> None:
    made = [codes.generate() for _ in range(2000)]

    assert all(re.fullmatch("[0-9]{6}", code) for code in made)
    # Two thousand of a million: a handful of pairs at most, and some that begin with zero.
    assert len(set(made)) > 1950
    assert any(code.startswith("0") for code in made)


def test_a_code_matches_its_own_hash_only() -> None:
    hashed = codes.hash_code(KEY, "login-1", "012345")

    assert re.fullmatch("[0-9a-f]{64}", hashed)
    assert codes.matches(KEY, "login-1", "012345", hashed)
    for code in ("012346", "12345", " 012345", "012345 ", "", "०१२३४५", "\ud800"):
        assert not codes.matches(KEY, "login-1", code, hashed)


def test_a_code_is_good_for_one_challenge_and_under_one_key() -> None:
    hashed = codes.hash_code(KEY, "login-1", "012345")

    assert not codes.matches(KEY, "login-2", "012345", hashed)
    assert not codes.matches(OTHER, "login-1", "012345", hashed)
    assert codes.hash_code(KEY, "login-10", "12345") != hashed


@pytest.mark.parametrize("hashed", ["", "ключ", "\ud800", "0" * 64])
def test_what_is_no_hash_matches_nothing(hashed: str) -> None:
    assert not codes.matches(KEY, "login-1", "012345", hashed)


def test_a_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        codes.hash_code(b"secret", "login-1", "012345")
