"""What labels say beside products: texts are edited, products refer to what exists (R8, SCL-8)."""

from typing import Any

import pytest

from contracts.scale_bridge import MessageEdited, ProductEdited
from libs.eventsourcing.testing import Scenario
from services.scale_bridge.domain.copy import NothingCached, catalogue_with
from services.scale_bridge.domain.copy_commands import DropMessage, SetMessage
from services.scale_bridge.domain.copy_history import Copy
from services.scale_bridge.domain.label import (
    LONGEST_TEXT,
    MessageInUse,
    MessagesUnreadable,
    MessageUnknown,
    entries,
    users,
)
from services.scale_bridge.domain.model import Limits
from services.scale_bridge.domain.product import BadFields, BeyondModel
from tests.services.scale_bridge.copies import (
    a_product,
    edit,
    made,
    was_confirmed,
    was_edited,
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


FETCHED = Scenario(CATALOGUE).given(was_fetched(1))


def put(message: str, value: str, **limits: Limits) -> SetMessage:
    return made(SetMessage, message=message, value=value, **limits)


def drop(message: str) -> DropMessage:
    return made(DropMessage, message=message)


def was_put(revision: int, message: str, before: Any, after: Any) -> MessageEdited:
    return made(MessageEdited, revision=revision, message=message, before=before, after=after)


def after(*events: Any, content: str = "first") -> Copy:
    return CATALOGUE.state_after([was_fetched(1, content), *events])


def test_a_text_is_changed_with_all_that_is_unknown_about_it() -> None:
    rye, back = {**FLOUR, "value": "Состав: рожь"}, {**GONE, "deleted": False}
    salt = {"id": 5, "value": "Соль", "deleted": False}

    FETCHED.when(put("1", "Состав: рожь")).then(was_put(2, "1", FLOUR, rye))
    FETCHED.when(put("1", "Состав: мука")).then_nothing()
    FETCHED.when(put("2", "Состав: вода")).then(was_put(2, "2", GONE, back))
    FETCHED.when(put("5", "Соль")).then(was_put(2, "5", None, salt))


def test_a_new_text_has_an_id_like_the_others() -> None:
    """(§3)"""
    for content, expected in (("second", "9"), ("none", 9)):
        [event] = CATALOGUE.decide(after(content=content), put("9", "x"))
        assert isinstance(event, MessageEdited)
        assert event.after["id"] == expected


def test_without_a_catalogue_there_is_nothing_to_edit() -> None:
    Scenario(CATALOGUE).when(put("1", "x")).then_refused(NothingCached)
    gone = FETCHED.given(was_invalidated(2))
    gone.when(put("1", "x")).then_refused(NothingCached)
    gone.when(drop("1")).then_refused(NothingCached)


@pytest.mark.parametrize("command", [put("1", "x"), drop("1")], ids=["put", "drop"])
def test_texts_in_another_shape_are_left_alone(command: Any) -> None:
    with pytest.raises(MessagesUnreadable):
        CATALOGUE.decide(after(content="odd"), command)


@pytest.mark.parametrize("value", ["", "x" * (LONGEST_TEXT + 1), "a\0b", "\ud800"])
def test_a_text_that_cannot_be_sent_is_no_text(value: str) -> None:
    with pytest.raises(BadFields) as refused:
        CATALOGUE.decide(after(), put("1", value))

    assert refused.value.reasons.keys() == {"value"}


def test_a_text_must_fit_the_model() -> None:
    """(SCL-8)"""
    short = Limits(longest_text=3)

    assert CATALOGUE.decide(after(), put("1", "abc", limits=short))
    with pytest.raises(BeyondModel):
        CATALOGUE.decide(after(), put("1", "abcd", limits=short))


def test_a_text_that_no_label_carries_can_be_dropped() -> None:
    text = {"id": 4, "value": "x"}
    free = FETCHED.given(was_put(2, "4", None, text))

    free.when(drop("4")).then(was_put(3, "4", text, {**text, "deleted": True}))
    free.when(drop("2")).then_nothing()
    free.when(drop("1")).then_refused(MessageInUse)
    free.when(drop("6")).then_refused(MessageUnknown)


def test_an_edited_text_is_a_revision_that_the_scale_does_not_hold_yet() -> None:
    """(R8)"""
    new = {**FLOUR, "value": "Рожь"}
    copy = after(was_put(2, "1", FLOUR, new), was_edited(3, "2"))

    assert (copy.revision, copy.dirty) == (3, True)
    assert copy.document is not None
    assert copy.document["messages"] == [new, GONE]
    assert copy.document["firmware"] == {"x": 1}
    assert copy.document["products"][1]["price"] == 11.0
    assert after(was_put(2, "1", FLOUR, new), was_confirmed(2)).dirty is False


def test_a_text_comes_behind_the_others_also_where_there_was_none() -> None:
    new = {"id": 9, "value": "x"}

    assert entries(after(was_put(2, "9", None, new)).shown, "messages") == [FLOUR, GONE, new]
    assert entries(after(was_put(2, "9", None, new), content="none").shown, "messages") == [new]


def test_it_is_known_which_products_carry_a_text() -> None:
    assert users(FIRST) == {"1": ["1"]}


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
def test_a_product_refers_to_what_is_there(
    content: str, name: str, value: Any, stored: Any
) -> None:
    plu = "2" if content == "first" else "1"
    [edited] = CATALOGUE.decide(after(content=content), edit(plu, **{name: value}))

    assert isinstance(edited, ProductEdited)
    assert edited.after == {name: stored}
    assert type(edited.after[name]) is type(stored)


def test_null_takes_a_text_from_a_label() -> None:
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
def test_what_is_not_there_or_cannot_be_is_refused(content: str, name: str, value: Any) -> None:
    with pytest.raises(BadFields) as refused:
        CATALOGUE.decide(after(content=content), edit("1", **{name: value}))

    assert refused.value.reasons.keys() == {name}
