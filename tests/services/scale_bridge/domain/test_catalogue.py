"""Which files are catalogues, and which product is which."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scale_bridge.domain.catalogue import (
    Strictness,
    check,
    digest,
    find,
    key_of,
    only,
    plu_of,
    read,
    written,
)
from services.scale_bridge.domain.fault import BadCatalogue, Flaw
from tests.services.scale_bridge.files import BAD, GOOD


@pytest.mark.parametrize(
    ("file", "flaw"), BAD, ids=[f"{flaw}-{n}" for n, (_, flaw) in enumerate(BAD)]
)
def test_a_bad_file_is_not_accepted(file: bytes, flaw: Flaw) -> None:
    """(R5)"""
    with pytest.raises(BadCatalogue) as caught:
        read(file)

    assert caught.value.flaw is flaw


@pytest.mark.parametrize("file", GOOD)
def test_a_good_file_is_accepted_whole(file: str) -> None:
    """(R5)"""
    assert read(file.encode()) == json.loads(file)


def test_a_file_of_more_than_64_mebibytes_is_not_even_read() -> None:
    """(R21)"""
    with pytest.raises(BadCatalogue) as caught:
        read(bytes(64 * 1024 * 1024 + 1))

    assert caught.value.flaw is Flaw.TOO_LARGE


@pytest.mark.parametrize(
    ("file", "relaxed"),
    [
        (b'{"products":[{"price":NaN}]}', Strictness(finite_numbers=False)),
        (b'{"products":[{"a":1,"a":2}]}', Strictness(unique_keys=False)),
        (b'{"products":[{"pluNumber":1},{"pluNumber":1}]}', Strictness(unique_plus=False)),
    ],
)
def test_each_rule_is_relaxed_by_itself(file: bytes, relaxed: Strictness) -> None:
    """(R5)"""
    assert len(read(file, relaxed)["products"]) > 0
    with pytest.raises(BadCatalogue):
        read(b'{"items":[]}', relaxed)


def test_it_is_written_compactly_with_its_letters_and_the_order_of_its_keys() -> None:
    document = {"products": [{"z": "Яблоки\n", "a": 1.0}], "b": None}

    assert written(document).decode() == '{"products":[{"z":"Яблоки\\n","a":1.0}],"b":null}'
    assert digest(b'{"products":[]}').upper() == "F87ABC43805C946505E9F1F64D04CD21"


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        (float("nan"), Flaw.NOT_FINITE),
        (float("inf"), Flaw.NOT_FINITE),
        (chr(0xD800), Flaw.NOT_JSON),
        ({1, 2}, Flaw.NOT_JSON),
    ],
)
def test_what_no_scale_could_read_is_not_written(value: Any, flaw: Flaw) -> None:
    """(R11)"""
    with pytest.raises(BadCatalogue) as caught:
        written({"products": [{"price": value}]})

    assert caught.value.flaw is flaw


def test_plus_are_compared_as_text() -> None:
    document = {"products": [{"name": "none"}, {"pluNumber": "7"}, {"pluNumber": 1}]}

    assert find(document, "7") == 1
    assert find(document, "1") == 2
    assert find(document, "01") is None
    assert find(document, "None") is None
    assert plu_of({"pluNumber": 3.0}) == "3"


def test_a_product_without_a_plu_goes_by_its_code_or_id() -> None:
    assert key_of({"pluNumber": 5, "code": 9}) == "5"
    assert key_of({"code": 9, "id": 2}) == "code:9"
    assert key_of({"id": "2"}) == "id:2"


def test_some_of_a_catalogue_is_a_catalogue_with_all_else_in_it() -> None:
    document = {"categories": [1], "products": [{"pluNumber": 1}, {"pluNumber": 2}, {"code": 3}]}

    some = only(document, {"2", "code:3"})

    assert some == {"categories": [1], "products": [{"pluNumber": 2}, {"code": 3}]}


@given(st.binary(max_size=200))
def test_no_bytes_at_all_do_worse_than_being_refused(file: bytes) -> None:
    """(R5)"""
    try:
        check(read(file))
    except BadCatalogue:
        return
