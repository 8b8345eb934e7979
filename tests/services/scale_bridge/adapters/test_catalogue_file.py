"""Reading fast accepts and refuses exactly what reading strictly does."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.scale_bridge.adapters.catalogue_file import read
from services.scale_bridge.adapters.simulator.goods import catalogue as goods
from services.scale_bridge.domain import catalogue
from services.scale_bridge.domain.catalogue import Strictness
from services.scale_bridge.domain.fault import BadCatalogue, Flaw
from tests.services.scale_bridge.files import BAD, GOOD

TEXTS = st.text(alphabet='"\\abя:,{}[]\n/u0022', max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def told(file: bytes, how: Any, strictness: Strictness) -> Any:
    try:
        return how(file, strictness)
    except BadCatalogue as bad:
        return bad.flaw


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


@pytest.mark.parametrize("spelling", ["\\u0022", '\\"', "\\\\", ":", "я"])
def test_a_repeated_key_cannot_hide_behind_other_quotation_marks(spelling: str) -> None:
    """(R5)"""
    file = f'{{"products":[{{"a":1,"a":2,"name":"{spelling * 2}"}}]}}'.encode()

    with pytest.raises(BadCatalogue) as caught:
        read(file)
    assert caught.value.flaw is Flaw.DUPLICATE_KEY


def test_a_real_catalogue_is_read_as_it_is() -> None:
    file = json.dumps(goods(200), ensure_ascii=False).encode()

    assert read(file) == goods(200)


def test_too_large_is_too_large() -> None:
    """(R21)"""
    with pytest.raises(BadCatalogue) as caught:
        read(b'{"products":[]}' + b" " * 64 * 1024 * 1024)

    assert caught.value.flaw is Flaw.TOO_LARGE


@given(st.lists(st.tuples(TEXTS, VALUES), max_size=4), st.booleans(), st.booleans())
@example([("a", 1), ("a", '"')], True, True)
def test_both_readers_say_the_same_of_any_object(
    pairs: list[tuple[str, Any]], ascii_only: bool, unique: bool
) -> None:
    """(R5)"""
    inner = ",".join(
        f"{json.dumps(key, ensure_ascii=ascii_only)}:{json.dumps(value, ensure_ascii=ascii_only)}"
        for key, value in pairs
    )
    file = f'{{"products":[{{{inner}}}]}}'.encode(errors="replace")
    strictness = Strictness(unique_keys=unique, unique_plus=False)

    assert repr(told(file, read, strictness)) == repr(told(file, catalogue.read, strictness))
