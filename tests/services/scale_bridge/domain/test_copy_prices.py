"""The shop's word on a price holds against scales, and gives way to people (SCL-15, SCL-16)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.scale_bridge import PriceOverridden, PriceTaken, ProductEdited, ScaleBridgeEvent
from services.scale_bridge.domain.copy import ProductUnknown, decide
from services.scale_bridge.domain.copy_commands import TakePrice
from services.scale_bridge.domain.copy_history import Copy
from services.scale_bridge.domain.copy_prices import article_of, due, owed
from services.scale_bridge.domain.shop_price import ShopPrice
from tests.services.scale_bridge.copies import (
    ID,
    NOW,
    after,
    edit,
    fetch,
    revert,
    was_confirmed,
    was_fetched,
    was_invalidated,
)


def said(price: float = 12.0, number: int = 7, later: int = 0, article: int = 101) -> ShopPrice:
    at = NOW + timedelta(minutes=later)
    return ShopPrice(
        price_id=UUID(int=number),
        article=article,
        price=price,
        valid_at=at,
        announced_by="office",
        announced_at=at,
        trace="a trace",
    )


def take(price: ShopPrice, plu: str = "1") -> TakePrice:
    return TakePrice(device_id=ID, plu=plu, said=price, now=NOW)


def went_on(history: list[ScaleBridgeEvent], *commands: Any) -> list[ScaleBridgeEvent]:
    """The history with what was decided on it, one command after the other."""
    history = list(history)
    for command in commands:
        history += decide(after(*history), command)
    return history


def price_of(copy: Copy, place: int = 0) -> Any:
    return copy.shown["products"][place]["price"]


FETCHED: list[ScaleBridgeEvent] = [was_fetched(1)]


def test_a_price_is_edited_and_told_in_one() -> None:
    edited, taken = decide(after(*FETCHED), take(said()))

    assert isinstance(edited, ProductEdited)
    assert (edited.source, edited.edited_by, edited.after) == ("price", "office", {"price": 12.0})
    assert isinstance(taken, PriceTaken)
    assert (taken.changed, taken.revision, taken.plu, taken.article) == (True, 2, "1", 101)


def test_a_price_that_changes_nothing_is_told_too() -> None:
    [taken] = decide(after(*FETCHED), take(said(10.0)))

    assert isinstance(taken, PriceTaken)
    assert (taken.changed, taken.revision, taken.price) == (False, 1, 10.0)


def test_a_price_told_twice_is_told_once() -> None:
    for price in (10.0, 12.0):
        copy = after(*went_on(FETCHED, take(said(price))))
        assert decide(copy, take(said(price))) == []


def test_an_earlier_price_that_comes_late_is_not_taken() -> None:
    copy = after(*went_on(FETCHED, take(said(13.0, number=8, later=1))))

    assert decide(copy, take(said(12.0, number=7))) == []


def test_a_price_for_another_article_is_not_taken() -> None:
    assert decide(after(*FETCHED), take(said(article=999))) == []
    with pytest.raises(ProductUnknown):
        decide(after(*FETCHED), take(said(), plu="99"))


def test_what_a_scale_is_found_to_show_gives_way_to_the_shop() -> None:
    taken = went_on(FETCHED, take(said()))
    found = went_on(taken, fetch())
    copy = after(*found)
    assert price_of(copy) == 10.0
    assert not copy.dirty
    assert list(due(copy, {101: said()})) == [("1", said())]

    again = after(*went_on(found, take(said())))

    assert price_of(again) == 12.0
    assert again.dirty
    assert owed(again)
    assert again.taken["1"].revision == again.revision


def test_a_person_overrules_the_shop_until_it_says_something_new() -> None:
    history = went_on(FETCHED, take(said()), edit(price=9.0))
    assert isinstance(history[-1], PriceOverridden)
    assert (history[-1].price, history[-1].overridden_by) == (9.0, "anna")
    copy = after(*history)
    assert list(due(copy, {101: said()})) == []
    assert decide(copy, take(said())) == []
    assert not owed(copy)

    later = said(13.0, number=8, later=1)
    assert price_of(after(*went_on(history, take(later)))) == 13.0


def test_the_override_outlives_a_fetch() -> None:
    copy = after(*went_on(FETCHED, take(said()), edit(price=9.0), fetch()))

    assert price_of(copy) == 10.0
    assert list(due(copy, {101: said()})) == []


def test_who_comes_back_to_the_shops_price_overrules_it_no_more() -> None:
    history = went_on(FETCHED, take(said()), edit(price=9.0), edit(price=12.0))

    assert isinstance(history[-1], PriceTaken)
    copy = after(*went_on(history, fetch()))
    assert list(due(copy, {101: said()})) == [("1", said())]


def test_a_scale_found_to_show_the_shops_price_is_overruled_no_more() -> None:
    """What a person wanted was replaced by what the scale shows, and that is what the shop said."""
    copy = after(*went_on(FETCHED, take(said(10.0)), edit(price=9.0), fetch()))
    assert price_of(copy) == 10.0

    [taken] = decide(copy, take(said(10.0)))

    assert isinstance(taken, PriceTaken)
    assert not taken.changed


def test_another_field_overrules_nothing() -> None:
    history = went_on(FETCHED, take(said()), edit(name="Cheese"))

    assert not any(isinstance(event, PriceOverridden) for event in history)


def test_bringing_back_a_revision_overrules_the_shop_where_it_changes_its_price() -> None:
    history = went_on(FETCHED, take(said()), take(said(10.0, number=9, article=102), plu="2"))

    *_, reverted, overridden = went_on(history, revert(1, "first"))

    assert type(reverted).__name__ == "CatalogueReverted"
    assert isinstance(overridden, PriceOverridden)
    assert (overridden.plu, overridden.price) == ("1", 10.0)


def test_a_product_with_a_new_plu_keeps_the_shops_word() -> None:
    history = went_on(FETCHED, take(said()), edit(pluNumber=77, price=9.0))
    copy = after(*history)

    assert isinstance(history[-1], PriceOverridden)
    assert history[-1].plu == "77"
    assert set(copy.taken) == {"77"}
    assert copy.taken["77"].overridden
    assert list(due(copy, {101: said()})) == []


def test_at_another_address_every_price_is_new() -> None:
    history = [*went_on(FETCHED, take(said())), was_invalidated(3), was_fetched(4)]
    copy = after(*history)

    assert copy.taken == {}
    assert list(due(copy, {101: said()})) == [("1", said())]


def test_what_the_scale_confirmed_is_not_owed() -> None:
    history = went_on(FETCHED, take(said()))
    assert owed(after(*history))
    assert not owed(after(*history, was_confirmed(2)))


def test_products_that_are_gone_or_have_no_plu_are_left_alone() -> None:
    document = {
        "products": [
            {"code": 101, "price": 1.0},
            {"pluNumber": 2, "code": 101, "price": 1.0, "deleted": True},
            {"pluNumber": 3, "code": "101", "price": 1.0},
            {"pluNumber": 4, "code": "x", "price": 1.0},
        ]
    }
    copy = replace(after(*FETCHED), document=document)

    assert [plu for plu, _ in due(copy, {101: said()})] == ["3"]


@pytest.mark.parametrize(
    ("code", "article"),
    [(50, 50), ("51", 51), (50.0, 50), ("٥", None), (None, None), ("a", None), ("9" * 30, None)],
)
def test_what_an_article_is(code: object, article: int | None) -> None:
    assert article_of({"code": code}) == article
