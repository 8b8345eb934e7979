"""Files that are valid catalogues, and the keys of products.

The strict and the fast parser accept and refuse exactly the same files (R5, R11, R21).
"""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.scale_bridge.catalogue.domain.model import PERMISSIVE
from services.scale_bridge.catalogue.domain.problems import problems
from services.scale_bridge.catalogue.domain.readback import differing, wrong
from services.scale_bridge.driver.adapters import catalogue_file
from services.scale_bridge.driver.domain import document as documents
from services.scale_bridge.driver.domain.document import (
    Strictness,
    by_key,
    check,
    digest,
    key_of,
    plu_of,
    position_of,
    select,
    serialize,
)
from services.scale_bridge.driver.domain.fault import BadCatalogue, Flaw
from services.scale_bridge.driver.simulator.domain.goods import catalogue as goods
from services.scale_bridge.transfer.domain.failure_texts import sentence_of

Parser: TypeAlias = Callable[..., Any]

BOTH_PARSERS = pytest.mark.parametrize(
    "read", [documents.parse, catalogue_file.parse], ids=["strict", "fast"]
)

BAD = [
    *((file, Flaw.NOT_JSON) for file in (b"", b"{", b'{"products":[]}x')),
    (b"\xef\xbb\xbf" + b'{"products":[]}', Flaw.NOT_JSON),
    (b'{"products":[{"name":"\xff"}]}', Flaw.NOT_JSON),
    (b'{"products":[{"name":"\\ud800"}]}', Flaw.NOT_JSON),
    (b'{"products":' + b"[" * 100_000, Flaw.NOT_JSON),
    (b'{"products":[{"price":' + b"9" * 5000 + b"}]}", Flaw.NOT_JSON),
    (b'{"products":[{"price":NaN}]}', Flaw.NOT_FINITE),
    (b'{"products":[{"price":-Infinity}]}', Flaw.NOT_FINITE),
    (b'{"products":[{"price":1e999}]}', Flaw.NOT_FINITE),
    (b'{"products":[{"price":1,"price":2}]}', Flaw.DUPLICATE_KEY),
    (b'{"products":[],"products":[]}', Flaw.DUPLICATE_KEY),
    *((file, Flaw.NOT_AN_OBJECT) for file in (b"[]", b"42", b"null")),
    *((file, Flaw.NO_PRODUCTS) for file in (b"{}", b'{"items":[]}')),
    *((file, Flaw.NO_PRODUCTS) for file in (b'{"products":{}}', b'{"products":null}')),
    (b'{"products":[1]}', Flaw.NOT_A_PRODUCT),
    (b'{"products":[{"pluNumber":1},{"pluNumber":1}]}', Flaw.DUPLICATE_PLU),
    (b'{"products":[{"pluNumber":1},{"pluNumber":"1"}]}', Flaw.DUPLICATE_PLU),
    (b'{"products":[{"pluNumber":1},{"pluNumber":1.0}]}', Flaw.DUPLICATE_PLU),
    *(
        (f'{{"products":[{item}],"messages":{beside}}}'.encode(), Flaw.NOT_STORABLE)
        for item, beside in (
            ('{"name":"a\\u0000"}', "[]"),
            ('{"a\\u0000":1}', "[]"),
            ('{"x":{"y":["\\u0000"]}}', "[]"),
            ("{}", '[{"value":"\\u0000"}]'),
            (f'{{"pluNumber":"{"1" * 101}"}}', "[]"),
            (f'{{"pluNumber":1,"code":{"9" * 101}}}', "[]"),
            (f'{{"name":"{"я" * 40_000}"}}', "[]"),
        )
    ),
]

GOOD = [
    '{"products":[{"x":999999999999999999999999999999}]}',
    '{"products":[]}',
    '{"products":[{},{"name":"без PLU"},{"pluNumber":null},{"pluNumber":1}],"x":{"y":[1.5]}}',
    '{"products":[{"pluNumber":"01"},{"pluNumber":1}]}',
    '{"products":[{"name":"\\ud83d\\ude00\\n"}]}',
    '{"products":[{"name":"\\\\u0000"}]}',
    '{"products":[{"pluNumber":1,"deleted":true},{"pluNumber":1},{"pluNumber":1,"deleted":true}]}',
    json.dumps(goods(200), ensure_ascii=False),
]


@BOTH_PARSERS
@pytest.mark.parametrize(
    ("file", "flaw"), BAD, ids=[f"{flaw}-{n}" for n, (_, flaw) in enumerate(BAD)]
)
def test_a_bad_file_is_not_accepted(read: Parser, file: bytes, flaw: Flaw) -> None:
    with pytest.raises(BadCatalogue) as caught:
        read(file)

    assert caught.value.flaw is flaw


@BOTH_PARSERS
@pytest.mark.parametrize("file", GOOD, ids=range(len(GOOD)))
def test_a_good_file_is_accepted_whole(read: Parser, file: str) -> None:
    assert read(file.encode()) == json.loads(file)


@BOTH_PARSERS
def test_a_file_of_more_than_64_mebibytes_is_not_parsed(read: Parser) -> None:
    with pytest.raises(BadCatalogue) as caught:
        read(b'{"products":[]}'.ljust(64 * 1024 * 1024 + 1))

    assert caught.value.flaw is Flaw.TOO_LARGE


@BOTH_PARSERS
@pytest.mark.parametrize("spelling", ["\\u0022", '\\"', "\\\\", ":", "я"])
def test_a_repeated_key_cannot_hide_behind_other_quotation_marks(
    read: Parser, spelling: str
) -> None:
    file = f'{{"products":[{{"a":1,"a":2,"name":"{spelling * 2}"}}]}}'.encode()

    with pytest.raises(BadCatalogue) as caught:
        read(file)
    assert caught.value.flaw is Flaw.DUPLICATE_KEY


@BOTH_PARSERS
@pytest.mark.parametrize(
    ("file", "relaxed"),
    [
        (b'{"products":[{"price":NaN}]}', Strictness(finite_numbers=False)),
        (b'{"products":[{"a":1,"a":2}]}', Strictness(unique_keys=False)),
        (b'{"products":[{"pluNumber":1},{"pluNumber":1}]}', Strictness(unique_plus=False)),
    ],
    ids=["numbers", "keys", "plus"],
)
def test_each_rule_is_relaxed_by_itself(read: Parser, file: bytes, relaxed: Strictness) -> None:
    assert len(read(file, relaxed)["products"]) > 0
    with pytest.raises(BadCatalogue):
        read(b'{"items":[]}', relaxed)


TEXTS = st.text(alphabet='"\\abя:,{}[]\n/u0022', max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.tuples(TEXTS, VALUES), max_size=4), st.booleans(), st.booleans())
@example([("a", 1), ("a", '"')], True, True)
def test_both_parsers_return_the_same_for_any_object(
    pairs: list[tuple[str, Any]], ascii_only: bool, unique: bool
) -> None:
    inner = ",".join(
        f"{json.dumps(key, ensure_ascii=ascii_only)}:{json.dumps(value, ensure_ascii=ascii_only)}"
        for key, value in pairs
    )
    file = f'{{"products":[{{{inner}}}]}}'.encode(errors="replace")

    def answer(read: Parser) -> str:
        try:
            return repr(read(file, Strictness(unique_keys=unique, unique_plus=False)))
        except BadCatalogue as bad:
            return repr(bad.flaw)

    assert answer(catalogue_file.parse) == answer(documents.parse)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(file: bytes) -> None:
    try:
        check(documents.parse(file))
    except BadCatalogue:
        return


def test_serialized_json_is_compact_unescaped_and_in_order() -> None:
    document = {"products": [{"z": "Яблоки\n", "a": 1.0}], "b": None}

    assert serialize(document).decode() == '{"products":[{"z":"Яблоки\\n","a":1.0}],"b":null}'
    assert digest(b'{"products":[]}').upper() == "F87ABC43805C946505E9F1F64D04CD21"


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        *((float(number), Flaw.NOT_FINITE) for number in ("nan", "inf")),
        *((chr(0xD800), Flaw.NOT_JSON), ({1, 2}, Flaw.NOT_JSON)),
    ],
    ids=["nan", "inf", "surrogate", "set"],
)
def test_values_that_are_no_json_are_not_serialized(value: Any, flaw: Flaw) -> None:
    with pytest.raises(BadCatalogue) as caught:
        serialize({"products": [{"price": value}]})

    assert caught.value.flaw is flaw


def test_plus_are_compared_as_text() -> None:
    document = {"products": [{"name": "none"}, {"pluNumber": "7"}, {"pluNumber": 1}]}

    positions = {plu: position_of(document, plu) for plu in ("7", "1", "01", "None")}

    assert positions == {"7": 1, "1": 2, "01": None, "None": None}
    assert plu_of({"pluNumber": 3.0}) == "3"


@BOTH_PARSERS
@pytest.mark.parametrize(
    ("products", "product", "field"),
    [
        ('{"pluNumber":7},{"pluNumber":"7"}', "7", "pluNumber"),
        ('{"pluNumber":7,"name":"\\u0000"}', "7", "name"),
        (f'{{"code":5,"id":"{"1" * 101}"}}', "code:5", "id"),
    ],
    ids=["repeated", "NUL", "too long"],
)
def test_a_refusal_names_product_and_field(
    read: Parser, products: str, product: str, field: str
) -> None:
    with pytest.raises(BadCatalogue) as caught:
        read(f'{{"products":[{products}]}}'.encode())

    assert (caught.value.product, caught.value.field) == (product, field)
    text = sentence_of(caught.value)
    assert field in text
    assert product in text


@pytest.mark.parametrize("first", [True, False])
def test_a_deleted_product_yields_to_another_with_its_plu(first: bool) -> None:
    alive, gone = {"pluNumber": 1, "price": 2}, {"pluNumber": 1, "deleted": True}
    both = {"products": [gone, alive] if first else [alive, gone]}
    dearer = {"products": [{**item, "price": 3} for item in both["products"]]}

    position = position_of(both, "1")
    assert position is not None
    assert both["products"][position] is alive
    assert by_key(both) == {"1": alive}
    assert select(both, {"1"}) == {"products": [alive]}
    assert not problems(both, PERMISSIVE)
    assert wrong(both, {"products": [alive]}) == wrong(both, both) == frozenset()
    assert wrong(dearer, both) == {"1"}
    assert differing(both, dearer) == {"products": [{**alive, "price": 3}]}
    assert wrong({"products": [gone]}, {"products": []}) == frozenset()
    assert wrong({"products": [gone]}, {"products": [alive]}) == {"1"}


def test_the_key_of_a_product_without_a_plu_is_its_code_or_id() -> None:
    assert key_of({"pluNumber": 5, "code": 9}) == "5"
    assert key_of({"code": 9, "id": 2}) == "code:9"
    assert key_of({"id": "2"}) == "id:2"


def test_a_selection_of_products_includes_the_auxiliary_lists() -> None:
    document = {"categories": [1], "products": [{"pluNumber": 1}, {"pluNumber": 2}, {"code": 3}]}

    some = select(document, {"2", "code:3"})

    assert some == {"categories": [1], "products": [{"pluNumber": 2}, {"code": 3}]}
