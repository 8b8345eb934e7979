"""Editing the stored copy: product by product, and dates for all of them (R7, R11, R13)."""

from functools import reduce

import pytest

from contracts.scale_bridge import (
    DatesRefreshed,
    ProductEdited,
    ScaleBridgeEvent,
)
from libs.eventsourcing.testing import Scenario
from services.scale_bridge.domain.copy import (
    MOST_DATES,
    ProductUnknown,
    catalogue_with,
)
from services.scale_bridge.domain.copy_commands import (
    RefreshDates,
)
from services.scale_bridge.domain.product import BadFields
from tests.services.scale_bridge.copies import (
    CATALOGUE,
    ID,
    NOW,
    a_product,
    after,
    edit,
    was_edited,
    was_fetched,
    was_invalidated,
)


def test_an_edit_of_nothing_changes_nothing() -> None:
    """(R11)"""
    Scenario(CATALOGUE).given(was_fetched(1)).when(edit()).then_nothing()
    Scenario(CATALOGUE).given(was_fetched(1)).when(edit(price=10)).then_nothing()


def test_an_unknown_product_cannot_be_edited() -> None:
    Scenario(CATALOGUE).given(was_fetched(1)).when(edit("01")).then_refused(ProductUnknown)
    Scenario(CATALOGUE).when(edit("1", price=1)).then_refused(ProductUnknown)
    gone = Scenario(CATALOGUE).given(was_fetched(1), was_invalidated(2))
    gone.when(edit("1", price=1)).then_refused(ProductUnknown)


def test_another_products_plu_cannot_be_taken() -> None:
    """(R11)"""
    with pytest.raises(BadFields):
        CATALOGUE.decide(after(was_fetched(1)), edit(pluNumber=2))


def test_shelf_life_goes_to_the_field_dates_were_made_from() -> None:
    """(R13)"""
    [edited] = CATALOGUE.decide(after(was_fetched(1)), edit(shelfLife=9))

    assert isinstance(edited, ProductEdited)
    assert edited.after == {"shelfLife": 9, "shelfLifeInDays": 9}
    assert edited.before == {"shelfLife": 5, "shelfLifeInDays": None}


def test_dates_are_refreshed_on_top_of_pending_edits() -> None:
    """(R7, R13)"""
    history: list[ScaleBridgeEvent] = [was_fetched(1), was_edited(2)]
    [dated] = CATALOGUE.decide(after(*history), RefreshDates(device_id=ID, now=NOW))

    assert isinstance(dated, DatesRefreshed)
    assert dated.dates == {"1": ("01-03-26", "06-03-26"), "2": ("01-03-26", "06-03-26")}
    assert after(*history, dated).document == {
        "products": [
            a_product(1, price=11.0, manufactureDate="01-03-26", sellByDate="06-03-26"),
            a_product(2, manufactureDate="01-03-26", sellByDate="06-03-26"),
        ]
    }
    again = Scenario(CATALOGUE).given(*history, dated)
    again.when(RefreshDates(device_id=ID, now=NOW)).then_nothing()


def test_many_dates_are_told_in_parts() -> None:
    many = {"products": [a_product(number) for number in range(1, MOST_DATES + 3)]}
    aggregate = catalogue_with({"first": many})
    copy = aggregate.evolve(aggregate.initial, was_fetched(1))

    parts = aggregate.decide(copy, RefreshDates(device_id=ID, now=NOW))

    assert [part.revision for part in parts if isinstance(part, DatesRefreshed)] == [2, 3]
    assert reduce(aggregate.evolve, parts, copy).revision == 3
