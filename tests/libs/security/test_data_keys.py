"""Texts sealed with a person's key: who opens them, and what a change to them does."""

from datetime import UTC, datetime

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from libs.security.data_keys import DataKey, Erased, Forgotten, ServiceKeys, Subject, text_of
from libs.security.sealing import SealBroken, generate_key

SERVICE = ServiceKeys([generate_key()])
ANNA, BORIS = Subject("demo", "anna"), Subject("demo", "boris")
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
RAW = bytes(range(32))
# Lone surrogates too: JSON from outside may hold them.
TEXTS = st.text(st.characters(codec=None))


def key_of(subject: Subject) -> DataKey:
    return SERVICE.open_key(subject, SERVICE.new_key(subject))


@given(TEXTS, TEXTS, TEXTS)
def test_a_sealed_text_opens_with_its_key(tenant: str, id: str, text: str) -> None:
    key = DataKey(Subject(tenant, id), RAW)

    assert key.open(key.seal(text)) == text


@given(TEXTS, TEXTS, TEXTS, TEXTS)
@example("a", "bc", "ab", "c")
@example("a", "", "", "a")
def test_a_sealed_text_opens_for_no_other_person_even_with_the_same_key(
    tenant: str, id: str, other_tenant: str, other_id: str
) -> None:
    assume((tenant, id) != (other_tenant, other_id))
    sealed = DataKey(Subject(tenant, id), RAW).seal("text")

    with pytest.raises(SealBroken):
        DataKey(Subject(other_tenant, other_id), RAW).open(sealed)


def test_a_data_key_opens_for_no_other_person() -> None:
    with pytest.raises(SealBroken):
        SERVICE.open_key(BORIS, SERVICE.new_key(ANNA))


def test_every_person_has_a_key_of_their_own_and_every_seal_differs() -> None:
    keys = [key_of(ANNA), key_of(ANNA)]
    sealed = {key.seal("anna@example.com") for key in keys for _ in range(10)}

    assert len(sealed) == 20
    assert not any("anna" in text for text in sealed)
    with pytest.raises(SealBroken):
        keys[0].open(keys[1].seal("Anna"))


@given(st.integers(min_value=0), st.integers(0, 7))
def test_a_changed_text_does_not_open(index: int, bit: int) -> None:
    key = key_of(ANNA)
    raw = bytearray(key.seal("text").encode())
    raw[index % len(raw)] ^= 1 << bit

    with pytest.raises(SealBroken):
        key.open(raw.decode("latin-1"))


@given(st.text() | st.text("s1.AZaz09-_=", max_size=60))
@example("s1.")
@example("s1.====")
@example("s1.\ud800")
@example("Anna")
def test_a_text_that_was_not_sealed_does_not_open(text: str) -> None:
    with pytest.raises(SealBroken):
        key_of(ANNA).open(text)


@given(st.binary(max_size=80))
def test_what_is_no_wrapped_key_does_not_open(wrapped: bytes) -> None:
    with pytest.raises(SealBroken):
        SERVICE.open_key(ANNA, wrapped)


def test_a_key_of_the_forgotten_opens_everything_as_erased_and_seals_nothing() -> None:
    key = DataKey(ANNA, None, NOON)

    assert key.open(key_of(ANNA).seal("Anna")) == Erased(NOON)
    assert key.open("no seal at all") == Erased(NOON)
    with pytest.raises(Forgotten):
        key.seal("Anna")


def test_none_stays_none() -> None:
    assert key_of(ANNA).seal(None) is None
    for key in (key_of(ANNA), DataKey(ANNA, None, NOON), DataKey(ANNA, None)):
        assert key.open(None) is None


def test_a_column_holds_the_text_or_nothing() -> None:
    assert [text_of(one) for one in ("Anna", "", Erased(NOON), None)] == ["Anna", "", None, None]


@pytest.mark.parametrize("keys", [[], ["weak"], [generate_key(), ""]])
def test_a_service_without_proper_keys_is_refused_and_none_is_quoted(keys: list[str]) -> None:
    with pytest.raises(ValueError, match=r"key") as refused:
        ServiceKeys(keys)
    assert "weak" not in str(refused.value)


def test_no_key_is_shown_when_it_is_printed() -> None:
    for one in (SERVICE, DataKey(ANNA, RAW)):
        assert repr(one).startswith("<libs.security.data_keys.")
