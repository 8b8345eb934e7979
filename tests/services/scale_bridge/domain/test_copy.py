"""The stored copy of a catalogue: revisions, what is confirmed, what is of another scale, edits
product by product, and dates for all of them (R4, R7, R8, R9, R11, R13)."""

from functools import reduce

import pytest

from contracts.scale_bridge import (
    CatalogueDoubted,
    CatalogueReverted,
    DatesRefreshed,
    ScaleBridgeEvent,
)
from libs.errors import Refused
from libs.eventsourcing.testing import Scenario
from services.scale_bridge.domain.copy import (
    MOST_DATES,
    NothingCached,
    ProductUnknown,
    RevisionUnknown,
    catalogue_with,
)
from services.scale_bridge.domain.copy_commands import Doubt, Invalidate, RefreshDates
from tests.services.scale_bridge.copies import (
    CATALOGUE,
    CONTENTS,
    FIRST,
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
from tests.services.scale_bridge.decisions import decisions, row

NEW = Scenario(CATALOGUE)
FETCHED = [was_fetched(1)]
EDITED: list[ScaleBridgeEvent] = [was_fetched(1), was_edited(2)]
TWICE_EDITED = [*EDITED, was_edited(3, "2")]
MOVED: list[ScaleBridgeEvent] = [was_fetched(1), was_invalidated(2)]
REPLACED = [*MOVED, was_fetched(3, "second")]
REFRESH, INVALIDATE = made(RefreshDates), made(Invalidate)
DOUBT, DOUBTED = made(Doubt, content="second"), made(CatalogueDoubted, revision=1, content="second")

test_what_is_decided = decisions(
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
    """(R9)"""
    NEW.when(fetch()).then(was_fetched(1))
    NEW.given(*FETCHED).when(edit(price=11.0)).then(was_edited(2))
    NEW.given(*EDITED).when(fetch("second")).then(was_fetched(3, "second", items=1))
    assert after(*EDITED).revision == 2


def test_the_flag_is_clean_only_if_the_stored_revision_is_the_confirmed_one() -> None:
    """(R8)"""
    assert not after().dirty
    assert not after(*FETCHED).dirty
    assert after(*EDITED).dirty
    assert not after(*EDITED, was_confirmed(2)).dirty


def test_a_doubt_makes_the_flag_dirty_until_the_scale_is_read_or_written() -> None:
    """(R8)"""
    assert after(*FETCHED, DOUBTED).dirty
    assert after(*FETCHED, DOUBTED).on_scale == "second"
    assert not after(*FETCHED, DOUBTED, was_confirmed(1)).dirty


def test_a_fetch_of_what_was_edited_to_confirms_the_edit() -> None:
    """(R4)"""
    document = {"products": [a_product(1, price=11.0), a_product(2)]}
    edited = Scenario(catalogue_with({**CONTENTS, "edited": document})).given(*EDITED)

    edited.when(fetch("edited", document)).then(was_confirmed(2, "edited"))


def test_a_replaced_revision_can_be_brought_back() -> None:
    """(R7)"""
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
    """(R7, R13)"""
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
