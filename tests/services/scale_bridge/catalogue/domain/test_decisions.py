"""The stored copy of a catalogue: revisions, what is confirmed, what is of another scale, edits
product by product, dates for all of them (R4, R7, R8, R9, R11, R13); and prices of the shop, which
hold against scales and give way to people (SCL-15, SCL-16)."""

from dataclasses import replace
from datetime import timedelta
from functools import reduce
from typing import Any
from uuid import UUID

import pytest

from contracts.scale_bridge import (
    CatalogueDoubted,
    CatalogueReverted,
    DatesRefreshed,
    PriceOverridden,
    PriceTaken,
    ProductEdited,
    ScaleBridgeEvent,
)
from libs.errors import Refused
from libs.eventsourcing.testing import Scenario
from libs.testing.decisions import decision_table, row
from services.scale_bridge.catalogue.domain.catalogue import (
    Catalogue,
    Invalidate,
    RefreshDates,
    RevokeConfirmation,
    TakePrice,
)
from services.scale_bridge.catalogue.domain.decisions import (
    MOST_DATES,
    NothingCached,
    RevisionUnknown,
    catalogue_with,
    decide,
)
from services.scale_bridge.catalogue.domain.edits import ProductUnknown
from services.scale_bridge.catalogue.domain.prices import article_of, due_prices, has_unsent_price
from services.scale_bridge.catalogue.domain.shop_price import ShopPrice
from tests.services.scale_bridge.catalogues import (
    CATALOGUE,
    CONTENTS,
    FIRST,
    NOW,
    a_product,
    after,
    confirm,
    edit,
    fetch,
    made,
    revert,
    was_confirmed,
    was_edited,
    was_fetched,
    was_invalidated,
)
from tests.services.scale_bridge.usual import Usual

NEW = Scenario(CATALOGUE)
FETCHED: list[ScaleBridgeEvent] = [was_fetched(1)]
EDITED: list[ScaleBridgeEvent] = [was_fetched(1), was_edited(2)]
TWICE_EDITED = [*EDITED, was_edited(3, "2")]
MOVED: list[ScaleBridgeEvent] = [was_fetched(1), was_invalidated(2)]
REPLACED = [*MOVED, was_fetched(3, "second")]
REFRESH, INVALIDATE = made(RefreshDates), made(Invalidate)
DOUBT, DOUBTED = (
    made(RevokeConfirmation, content="second"),
    made(CatalogueDoubted, revision=1, content="second"),
)

test_what_is_decided = decision_table(
    CATALOGUE,
    row("confirmed already", [*EDITED, was_confirmed(2)], confirm(2)),
    row("a revision that never was is confirmed", FETCHED, confirm(9)),
    row("fetched already", FETCHED, fetch()),
    row("confirmed before the last edit", TWICE_EDITED, confirm(2), was_confirmed(2)),
    row("a doubt (R8)", FETCHED, DOUBT, DOUBTED),
    row("the same doubt", [*FETCHED, DOUBTED], DOUBT),
    row("another address (R9)", FETCHED, INVALIDATE, was_invalidated(2)),
    row("another address without a catalogue", [], INVALIDATE),
    row("another address again", MOVED, INVALIDATE),
    row("of another scale nothing is confirmed", MOVED, confirm(1)),
    row("of another scale nothing is dated", MOVED, REFRESH, NothingCached),
    *(
        row(f"revision {to} of another scale (R9)", REPLACED, revert(to, "first"), RevisionUnknown)
        for to in (0, 1, 2, 9)
    ),
    row("an edit of nothing (R11)", FETCHED, edit()),
    row("an edit to the same (R11)", FETCHED, edit(price=10)),
    row("an edit of an unknown product", FETCHED, edit("01"), ProductUnknown),
    row("an edit without a catalogue", [], edit("1", price=1), ProductUnknown),
    row("an edit at another address", MOVED, edit("1", price=1), ProductUnknown),
)


def test_every_change_is_a_revision() -> None:
    NEW.when(fetch()).then(was_fetched(1))
    NEW.given(*FETCHED).when(edit(price=11.0)).then(was_edited(2))
    NEW.given(*EDITED).when(fetch("second")).then(was_fetched(3, "second", items=1))
    assert after(*EDITED).revision == 2


def test_the_flag_is_clean_only_if_the_stored_revision_is_the_confirmed_one() -> None:
    assert not after().dirty
    assert not after(*FETCHED).dirty
    assert after(*EDITED).dirty
    assert not after(*EDITED, was_confirmed(2)).dirty


def test_a_doubt_makes_the_flag_dirty_until_the_scale_is_read_or_written() -> None:
    assert after(*FETCHED, DOUBTED).dirty
    assert after(*FETCHED, DOUBTED).on_scale == "second"
    assert not after(*FETCHED, DOUBTED, was_confirmed(1)).dirty


def test_a_fetch_of_what_was_edited_to_confirms_the_edit() -> None:
    document = {"products": [a_product(1, price=11.0), a_product(2)]}
    edited = Scenario(catalogue_with({**CONTENTS, "edited": document})).given(*EDITED)

    edited.when(fetch("edited", document)).then(was_confirmed(2, "edited"))


def test_a_replaced_revision_can_be_brought_back() -> None:
    history = [*EDITED, was_fetched(3, "second")]
    reverted = made(CatalogueReverted, revision=4, content="first", items=2, to_revision=1)

    NEW.given(*history).when(revert(1, "first")).then(reverted)
    assert after(*history, reverted).document == FIRST
    assert after(*history, reverted).dirty


def test_a_catalogue_whose_content_is_lost_is_not_sent() -> None:
    lost = catalogue_with({})
    copy = lost.state_after(EDITED)

    assert copy.document is None
    with pytest.raises(Refused):
        lost.decide(copy, edit(price=1))


def test_dates_are_refreshed_on_top_of_pending_edits() -> None:
    [dated] = CATALOGUE.decide(after(*EDITED), REFRESH)

    dates = {"manufactureDate": "01-03-26", "sellByDate": "06-03-26"}
    assert isinstance(dated, DatesRefreshed)
    assert dated.dates == {"1": tuple(dates.values()), "2": tuple(dates.values())}
    products = [a_product(1, price=11.0, **dates), a_product(2, **dates)]
    assert after(*EDITED, dated).document == {"products": products}
    NEW.given(*EDITED, dated).when(REFRESH).then_nothing()


def test_many_dates_are_recorded_in_parts() -> None:
    many = {"products": [a_product(number) for number in range(1, MOST_DATES + 3)]}
    aggregate = catalogue_with({"first": many})
    copy = aggregate.state_after([was_fetched(1)])

    parts = aggregate.decide(copy, REFRESH)

    assert [part.revision for part in parts if isinstance(part, DatesRefreshed)] == [2, 3]
    assert reduce(aggregate.evolve, parts, copy).revision == 3


def priced(price: float = 12.0, number: int = 7, later: int = 0, article: int = 101) -> ShopPrice:
    at = Usual(NOW + timedelta(minutes=later), announced_by="gateway")
    return at(ShopPrice, price_id=UUID(int=number), article=article, price=price)


def take(price: ShopPrice, plu: str = "1") -> TakePrice:
    return made(TakePrice, plu=plu, price=price)


def went_on(history: list[ScaleBridgeEvent], *commands: Any) -> list[ScaleBridgeEvent]:
    """The history with what was decided on it, one command after the other."""
    history = list(history)
    for command in commands:
        history += decide(after(*history), command)
    return history


def price_of(copy: Catalogue) -> Any:
    return copy.current_document["products"][0]["price"]


def due_plus(copy: Catalogue) -> list[str]:
    """The PLUs for which the shop's price of article 101 is due."""
    found = list(due_prices(copy, {101: priced()}))
    assert all(price == priced() for _, price in found)
    return [plu for plu, _ in found]


TAKEN = went_on(FETCHED, take(priced()))
OVERRIDDEN = went_on(TAKEN, edit(price=9.0))


def test_a_price_is_edited_and_recorded_in_one() -> None:
    edited, taken = decide(after(*FETCHED), take(priced()))

    assert isinstance(edited, ProductEdited)
    assert (edited.source, edited.edited_by, edited.after) == ("price", "gateway", {"price": 12.0})
    assert isinstance(taken, PriceTaken)
    assert (taken.changed, taken.revision, taken.plu, taken.article) == (True, 2, "1", 101)


def test_a_price_that_changes_nothing_is_recorded_too() -> None:
    [taken] = decide(after(*FETCHED), take(priced(10.0)))

    assert isinstance(taken, PriceTaken)
    assert (taken.changed, taken.revision, taken.price) == (False, 1, 10.0)


@pytest.mark.parametrize(
    ("history", "price"),
    [
        (TAKEN, priced()),
        (went_on(FETCHED, take(priced(10.0))), priced(10.0)),
        (went_on(FETCHED, take(priced(13.0, number=8, later=1))), priced()),
        (FETCHED, priced(article=999)),
        (OVERRIDDEN, priced()),
    ],
    ids=["again", "again without a change", "late", "another article", "overridden"],
)
def test_a_price_that_is_old_or_of_another_article_is_not_taken(
    history: list[ScaleBridgeEvent], price: ShopPrice
) -> None:
    assert decide(after(*history), take(price)) == []


def test_a_price_for_an_unknown_product_is_refused() -> None:
    with pytest.raises(ProductUnknown):
        decide(after(*FETCHED), take(priced(), plu="99"))


def test_what_a_scale_is_found_to_show_gives_way_to_the_shop() -> None:
    found = went_on(TAKEN, fetch())
    copy = after(*found)
    assert (price_of(copy), copy.dirty, due_plus(copy)) == (10.0, False, ["1"])

    again = after(*went_on(found, take(priced())))

    assert (price_of(again), again.dirty) == (12.0, True)
    assert has_unsent_price(again)
    assert again.taken["1"].revision == again.revision


def test_a_person_overrules_the_shop_until_it_announces_a_new_price() -> None:
    overridden, copy = OVERRIDDEN[-1], after(*OVERRIDDEN)
    assert isinstance(overridden, PriceOverridden)
    assert (overridden.price, overridden.overridden_by) == (9.0, "anna")
    assert due_plus(copy) == []
    assert not has_unsent_price(copy)

    fetched = after(*went_on(OVERRIDDEN, fetch()))
    assert (price_of(fetched), due_plus(fetched)) == (10.0, [])

    later = went_on(OVERRIDDEN, take(priced(13.0, number=8, later=1)))
    assert price_of(after(*later)) == 13.0


def test_a_person_who_comes_back_to_the_shops_price_overrules_it_no_more() -> None:
    history = went_on(OVERRIDDEN, edit(price=12.0))

    assert isinstance(history[-1], PriceTaken)
    assert due_plus(after(*went_on(history, fetch()))) == ["1"]


def test_a_scale_found_to_show_the_shops_price_is_overruled_no_more() -> None:
    """What a person wanted was replaced by what the scale shows, and that is the shop's price."""
    copy = after(*went_on(FETCHED, take(priced(10.0)), edit(price=9.0), fetch()))
    assert price_of(copy) == 10.0

    [taken] = decide(copy, take(priced(10.0)))

    assert isinstance(taken, PriceTaken)
    assert not taken.changed


def test_another_field_overrules_nothing() -> None:
    history = went_on(TAKEN, edit(name="Cheese"))

    assert not any(isinstance(event, PriceOverridden) for event in history)


def test_bringing_back_a_revision_overrules_the_shop_where_it_changes_its_price() -> None:
    history = went_on(TAKEN, take(priced(10.0, number=9, article=102), plu="2"))

    *_, reverted, overridden = went_on(history, revert(1, "first"))

    assert type(reverted).__name__ == "CatalogueReverted"
    assert isinstance(overridden, PriceOverridden)
    assert (overridden.plu, overridden.price) == ("1", 10.0)


def test_a_product_with_a_new_plu_keeps_the_shops_price() -> None:
    history = went_on(TAKEN, edit(pluNumber=77, price=9.0))
    copy = after(*history)

    assert isinstance(history[-1], PriceOverridden)
    assert history[-1].plu == "77"
    assert set(copy.taken) == {"77"}
    assert copy.taken["77"].overridden
    assert due_plus(copy) == []


def test_at_another_address_every_price_is_new() -> None:
    copy = after(*TAKEN, was_invalidated(3), was_fetched(4))

    assert copy.taken == {}
    assert due_plus(copy) == ["1"]


def test_what_the_scale_confirmed_is_not_owed() -> None:
    assert has_unsent_price(after(*TAKEN))
    assert not has_unsent_price(after(*TAKEN, was_confirmed(2)))


def test_products_that_are_gone_or_have_no_plu_are_left_alone() -> None:
    products: list[dict[str, Any]] = [
        {"code": 101, "price": 1.0},
        {"pluNumber": 2, "code": 101, "price": 1.0, "deleted": True},
        {"pluNumber": 3, "code": "101", "price": 1.0},
        {"pluNumber": 4, "code": "x", "price": 1.0},
    ]

    assert due_plus(replace(after(*FETCHED), document={"products": products})) == ["3"]


@pytest.mark.parametrize(
    ("code", "article"),
    [(50, 50), ("51", 51), (50.0, 50), ("٥", None), (None, None), ("a", None), ("9" * 30, None)],
)
def test_what_an_article_is(code: object, article: int | None) -> None:
    assert article_of({"code": code}) == article
