"""API keys."""

import re

from libs.security import api_keys


def test_a_key_has_a_prefix_to_find_it_by_and_a_secret_of_256_bits() -> None:
    keys = {api_keys.generate() for _ in range(200)}

    assert len(keys) == 200
    assert all(re.fullmatch(r"ts_[0-9A-Za-z]{8}_[0-9A-Za-z_-]{43}", key) for key in keys)


def test_the_prefix_shows_nothing_of_the_secret() -> None:
    key = api_keys.generate()

    assert api_keys.prefix(key) == key[: len("ts_12345678")]


def test_the_prefix_of_a_foreign_key_leaves_most_of_it_secret() -> None:
    assert api_keys.prefix("0123456789abcdef0123456789abcdef") == "01234567"
    assert api_keys.prefix("0123456789abcdef") == "0123"
    assert api_keys.prefix("key") == ""
    assert api_keys.prefix("") == ""


def test_a_key_matches_its_own_hash_only() -> None:
    key = api_keys.generate()
    hashed = api_keys.hash_key(key)

    assert re.fullmatch("[0-9a-f]{64}", hashed)
    assert api_keys.matches(key, hashed)
    assert not api_keys.matches(key + "x", hashed)
    assert not api_keys.matches(key, hashed[:-1])
    assert not api_keys.matches(key, "")


def test_hostile_text_is_no_key_and_no_crash() -> None:
    assert not api_keys.matches("\ud800\x00ключ", api_keys.hash_key("key"))
    assert not api_keys.matches("key", "ключ")


def test_the_hash_is_the_published_one_so_that_stored_hashes_stay_good() -> None:
    assert api_keys.hash_key("abc").startswith("ba7816bf8f01cfea414140de5dae2223")
