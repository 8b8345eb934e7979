"""Texts of labels are edited, products refer to existing entries (R8, SCL-8)."""

from typing import Any

import pytest

from contracts.scale_bridge import MessageEdited, ProductEdited
from libs.testing.decisions import decision_table, row
from services.scale_bridge.catalogue.domain import label
from services.scale_bridge.catalogue.domain.catalogue import Catalogue, DropMessage, SetMessage
from services.scale_bridge.catalogue.domain.decisions import NothingCached
from services.scale_bridge.catalogue.domain.model import Limits
from services.scale_bridge.catalogue.domain.product import BadFields, BeyondModel
from tests.services.scale_bridge.catalogues import (
    a_product,
    catalogue_with,
    edit,
    made,
    was_fetched,
    was_invalidated,
)

FLOUR = {"id": 1, "value": "Состав: мука", "deleted": False, "font": 2}
GONE = {"id": 2, "value": "Состав: вода", "deleted": True}
FIRST = {
    "firmware": {"x": 1},
    "messages": [FLOUR, GONE],
    "categories": [{"idCategory": 7, "name": "Хлеб"}],
    "products": [a_product(1, message=1), a_product(2), a_product(3, message=4, deleted=True)],
}
TEXTUAL = {
    "messages": [{"id": "1", "value": "x"}],
    "labelTemplates": [{"id": "3", "deleted": False}, {"id": "4", "deleted": True}],
    "products": [a_product(1)],
}
ODD = {"messages": {"1": "x"}, "products": [a_product(1)]}
NONE: dict[str, Any] = {"products": [a_product(1)]}
CATALOGUE = catalogue_with({"first": FIRST, "second": TEXTUAL, "odd": ODD, "none": NONE})


def put(message: str, value: str, **limits: Limits) -> SetMessage:
    return made(SetMessage, message=message, value=value, **limits)


def drop(message: str) -> DropMessage:
    return made(DropMessage, message=message)


def was_put(revision: int, message: str, before: Any, after: Any) -> MessageEdited:
    return made(MessageEdited, revision=revision, message=message, before=before, after=after)


def after(*events: Any, content: str = "first") -> Catalogue:
    return CATALOGUE.state_after([was_fetched(1, content), *events])


RYE, BACK = {**FLOUR, "value": "Состав: рожь"}, {**GONE, "deleted": False}
SALT, OWN = {"id": 5, "value": "Соль", "deleted": False}, {"id": 4, "value": "x"}
FETCHED, MOVED = [was_fetched(1)], [was_fetched(1), was_invalidated(2)]
WITH_OWN, OTHER_SHAPE = [was_fetched(1), was_put(2, "4", None, OWN)], [was_fetched(1, "odd")]
DROPPED = was_put(3, "4", OWN, {**OWN, "deleted": True})
SHORT, SHORTENED = Limits(longest_text=3), was_put(2, "1", FLOUR, {**FLOUR, "value": "abc"})

test_what_is_decided = decision_table(
    CATALOGUE,
    row("changed, with all else", FETCHED, put("1", "Состав: рожь"), was_put(2, "1", FLOUR, RYE)),
    row("the same text", FETCHED, put("1", "Состав: мука")),
    row("a text that was gone", FETCHED, put("2", "Состав: вода"), was_put(2, "2", GONE, BACK)),
    row("a new text", FETCHED, put("5", "Соль"), was_put(2, "5", None, SALT)),
    row("put without a catalogue", [], put("1", "x"), NothingCached),
    row("put at another address", MOVED, put("1", "x"), NothingCached),
    row("dropped at another address", MOVED, drop("1"), NothingCached),
    row("put in another shape", OTHER_SHAPE, put("1", "x"), label.MessagesUnreadable),
    row("dropped in another shape", OTHER_SHAPE, drop("1"), label.MessagesUnreadable),
    row("a text that no label carries is dropped", WITH_OWN, drop("4"), DROPPED),
    row("what is gone is dropped", WITH_OWN, drop("2")),
    row("what a label carries is dropped", WITH_OWN, drop("1"), label.MessageInUse),
    row("what is unknown is dropped", WITH_OWN, drop("6"), label.MessageUnknown),
    row("what fits the model (SCL-8)", FETCHED, put("1", "abc", limits=SHORT), SHORTENED),
    row("what does not (SCL-8)", FETCHED, put("1", "abcd", limits=SHORT), BeyondModel),
)


def test_a_new_text_has_an_id_like_the_others() -> None:
    """(§3)"""
    for content, expected in (("second", "9"), ("none", 9)):
        [event] = CATALOGUE.decide(after(content=content), put("9", "x"))
        assert isinstance(event, MessageEdited)
        assert event.after["id"] == expected


def test_a_new_text_is_appended_even_to_a_missing_list() -> None:
    new = {"id": 9, "value": "x"}

    assert label.entries(after(was_put(2, "9", None, new)).current_document, "messages") == [
        FLOUR,
        GONE,
        new,
    ]
    assert label.entries(
        after(was_put(2, "9", None, new), content="none").current_document, "messages"
    ) == [new]


@pytest.mark.parametrize(
    ("content", "name", "value", "stored"),
    [
        ("first", "message", 1, 1),
        ("first", "message", 1.0, 1),
        ("first", "message", "1", 1),
        ("first", "category", 7, 7),
        ("second", "message", 1, "1"),
        ("second", "labelDiscountTemplate", 3, "3"),
        ("second", "category", 7, 7),
        ("none", "labelTemplate", 2, 2),
        ("none", "barcodePrefixType", "WEIGHT", "WEIGHT"),
        ("none", "barcodeStructure", '[{"code": "EAN13"}]', '[{"code": "EAN13"}]'),
        ("none", "barcodeStructure", "", ""),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_product_refers_to_existing_entries(
    content: str, name: str, value: Any, stored: Any
) -> None:
    plu = "2" if content == "first" else "1"
    [edited] = CATALOGUE.decide(after(content=content), edit(plu, **{name: value}))

    assert isinstance(edited, ProductEdited)
    assert edited.after == {name: stored}
    assert type(edited.after[name]) is type(stored)


def test_null_removes_the_reference_to_a_text() -> None:
    [edited] = CATALOGUE.decide(after(), edit("1", message=None))

    assert isinstance(edited, ProductEdited)
    assert (edited.before, edited.after) == ({"message": 1}, {"message": None})


@pytest.mark.parametrize(
    ("content", "name", "value"),
    [
        *(("first", "message", value) for value in (2, 5, True, 1.5, "1a", -1)),
        *(("none", "message", 1), ("odd", "message", 1), ("none", "category", "x")),
        *(("first", "category", 8), ("second", "labelTemplate", 4)),
        ("second", "labelDiscountTemplate", 5),
        *(("none", "barcodePrefixType", value) for value in (7, "x" * 65)),
        *(("none", "barcodeStructure", value) for value in ("{", '{"x": NaN}', {"x": 1})),
        *(("none", "barcodeStructure", value) for value in ('"' + "x" * 4000 + '"', "[" * 2000)),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_an_invalid_or_missing_reference_is_refused(content: str, name: str, value: Any) -> None:
    with pytest.raises(BadFields) as refused:
        CATALOGUE.decide(after(content=content), edit("1", **{name: value}))

    assert refused.value.reasons.keys() == {name}
