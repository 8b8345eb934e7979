"""The decisions on a catalogue: revisions, confirmations, changes of the address, edits, dates
(R4, R7, R8, R9, R11, R13); prices of the shop and manual prices (SCL-15, SCL-16)."""

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
    decide,
)
from services.scale_bridge.catalogue.domain.edits import ProductUnknown
from services.scale_bridge.catalogue.domain.prices import article_of, due_prices
from services.scale_bridge.catalogue.domain.shop_price import ShopPrice
from tests.services.scale_bridge.catalogues import (
    CATALOGUE,
    CONTENTS,
    FIRST,
    NOW,
    a_product,
    after,
    catalogue_with,
    confirm,
    edit,
    fetch,
    has_unsent_price,
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
REVOKE, DOUBTED = (
    made(RevokeConfirmation, content="second"),
    made(CatalogueDoubted, revision=1, content="second"),
)

test_what_is_decided = decision_table(
    CATALOGUE,
    row("confirmed already", [*EDITED, was_confirmed(2)], confirm(2)),
    row("a revision that never was is confirmed", FETCHED, confirm(9)),
    row("fetched already", FETCHED, fetch()),
    row("confirmed before the last edit", TWICE_EDITED, confirm(2), was_confirmed(2)),
    row("a revoked confirmation (R8)", FETCHED, REVOKE, DOUBTED),
    row("revoked already", [*FETCHED, DOUBTED], REVOKE),
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


def test_a_revoked_confirmation_makes_the_flag_dirty_until_a_new_one() -> None:
    assert after(*FETCHED, DOUBTED).dirty
    assert after(*FETCHED, DOUBTED).on_scale == "second"
    assert not after(*FETCHED, DOUBTED, was_confirmed(1)).dirty


def test_a_fetch_of_what_was_edited_to_confirms_the_edit() -> None:
    document = {"products": [a_product(1, price=11.0), a_product(2)]}
    edited = Scenario(catalogue_with({**CONTENTS, "edited": document})).given(*EDITED)

    edited.when(fetch("edited", document)).then(was_confirmed(2, "edited"))


def test_a_replaced_revision_can_be_restored() -> None:
    history = [*EDITED, was_fetched(3, "second")]
    reverted = made(CatalogueReverted, revision=4, content="first", items=2, to_revision=1)

    NEW.given(*history).when(revert(1, "first")).then(reverted)
    assert after(*history, reverted).document == FIRST
    assert after(*history, reverted).dirty


def test_a_catalogue_whose_content_is_lost_is_not_sent() -> None:
    lost = catalogue_with({})
    catalogue = lost.state_after(EDITED)

    assert catalogue.document is None
    with pytest.raises(Refused):
        lost.decide(catalogue, edit(price=1))


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
    catalogue = aggregate.state_after([was_fetched(1)])

    parts = aggregate.decide(catalogue, REFRESH)

    assert [part.revision for part in parts if isinstance(part, DatesRefreshed)] == [2, 3]
    assert reduce(aggregate.evolve, parts, catalogue).revision == 3


def priced(price: float = 12.0, number: int = 7, later: int = 0, article: int = 101) -> ShopPrice:
    at = Usual(NOW + timedelta(minutes=later), announced_by="gateway")
    return at(ShopPrice, price_id=UUID(int=number), article=article, price=price)


def take(price: ShopPrice, plu: str = "1") -> TakePrice:
    return made(TakePrice, plu=plu, price=price)


def extended(history: list[ScaleBridgeEvent], *commands: Any) -> list[ScaleBridgeEvent]:
    """The history, extended by the events of the commands."""
    history = list(history)
    for command in commands:
        history += decide(after(*history), command)
    return history


def price_of(catalogue: Catalogue) -> Any:
    return catalogue.current_document["products"][0]["price"]


def due_plus(catalogue: Catalogue) -> list[str]:
    """The PLUs for which the shop's price of article 101 is due."""
    prices = list(due_prices(catalogue, {101: priced()}))
    assert all(price == priced() for _, price in prices)
    return [plu for plu, _ in prices]


TAKEN = extended(FETCHED, take(priced()))
OVERRIDDEN = extended(TAKEN, edit(price=9.0))


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
        (extended(FETCHED, take(priced(10.0))), priced(10.0)),
        (extended(FETCHED, take(priced(13.0, number=8, later=1))), priced()),
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


def test_the_shops_price_takes_precedence_over_a_fetched_one() -> None:
    fetched = extended(TAKEN, fetch())
    catalogue = after(*fetched)
    assert (price_of(catalogue), catalogue.dirty, due_plus(catalogue)) == (10.0, False, ["1"])

    again = after(*extended(fetched, take(priced())))

    assert (price_of(again), again.dirty) == (12.0, True)
    assert has_unsent_price(again)
    assert again.taken["1"].revision == again.revision


def test_a_manual_price_takes_precedence_until_the_shop_announces_a_new_one() -> None:
    overridden, catalogue = OVERRIDDEN[-1], after(*OVERRIDDEN)
    assert isinstance(overridden, PriceOverridden)
    assert (overridden.price, overridden.overridden_by) == (9.0, "anna")
    assert due_plus(catalogue) == []
    assert not has_unsent_price(catalogue)

    fetched = after(*extended(OVERRIDDEN, fetch()))
    assert (price_of(fetched), due_plus(fetched)) == (10.0, [])

    later = extended(OVERRIDDEN, take(priced(13.0, number=8, later=1)))
    assert price_of(after(*later)) == 13.0


def test_setting_the_shops_price_by_hand_ends_the_override() -> None:
    history = extended(OVERRIDDEN, edit(price=12.0))

    assert isinstance(history[-1], PriceTaken)
    assert due_plus(after(*extended(history, fetch()))) == ["1"]


def test_fetching_the_shops_price_ends_the_override() -> None:
    """The fetch replaced the manual price by the one on the scale, which is the shop's."""
    catalogue = after(*extended(FETCHED, take(priced(10.0)), edit(price=9.0), fetch()))
    assert price_of(catalogue) == 10.0

    [taken] = decide(catalogue, take(priced(10.0)))

    assert isinstance(taken, PriceTaken)
    assert not taken.changed


def test_an_edit_of_another_field_overrides_no_price() -> None:
    history = extended(TAKEN, edit(name="Cheese"))

    assert not any(isinstance(event, PriceOverridden) for event in history)


def test_restoring_a_revision_overrides_the_prices_it_changes() -> None:
    history = extended(TAKEN, take(priced(10.0, number=9, article=102), plu="2"))

    *_, reverted, overridden = extended(history, revert(1, "first"))

    assert type(reverted).__name__ == "CatalogueReverted"
    assert isinstance(overridden, PriceOverridden)
    assert (overridden.plu, overridden.price) == ("1", 10.0)


def test_a_product_with_a_new_plu_keeps_the_shops_price() -> None:
    history = extended(TAKEN, edit(pluNumber=77, price=9.0))
    catalogue = after(*history)

    assert isinstance(history[-1], PriceOverridden)
    assert history[-1].plu == "77"
    assert set(catalogue.taken) == {"77"}
    assert catalogue.taken["77"].overridden
    assert due_plus(catalogue) == []


def test_at_another_address_every_price_is_new() -> None:
    catalogue = after(*TAKEN, was_invalidated(3), was_fetched(4))

    assert catalogue.taken == {}
    assert due_plus(catalogue) == ["1"]


def test_a_confirmed_price_is_not_unsent() -> None:
    assert has_unsent_price(after(*TAKEN))
    assert not has_unsent_price(after(*TAKEN, was_confirmed(2)))


def test_deleted_products_and_those_without_a_plu_take_no_price() -> None:
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
def test_the_article_of_a_product_is_its_numeric_code(code: object, article: int | None) -> None:
    assert article_of({"code": code}) == article
