"""The stored copy of a catalogue: revisions, what is confirmed, what is of another scale."""

from functools import reduce

import pytest

from contracts.scale_bridge import (
    CatalogueDoubted,
    CatalogueReverted,
    ScaleBridgeEvent,
)
from libs.errors import Refused
from libs.eventsourcing.testing import Scenario
from services.scale_bridge.domain.copy import (
    NothingCached,
    RevisionUnknown,
    catalogue_with,
)
from services.scale_bridge.domain.copy_commands import (
    Doubt,
    Invalidate,
    RefreshDates,
    TakeFetched,
)
from tests.services.scale_bridge.copies import (
    CATALOGUE,
    CONTENTS,
    FIRST,
    ID,
    NOW,
    OPERATION,
    a_product,
    after,
    confirm,
    edit,
    fetch,
    revert,
    was_confirmed,
    was_edited,
    was_fetched,
    was_invalidated,
)


def test_every_change_is_a_revision() -> None:
    """(R9)"""
    Scenario(CATALOGUE).when(fetch()).then(was_fetched(1))
    Scenario(CATALOGUE).given(was_fetched(1)).when(edit(price=11.0)).then(was_edited(2))
    again = Scenario(CATALOGUE).given(was_fetched(1), was_edited(2))
    again.when(fetch("second")).then(was_fetched(3, "second"))
    assert after(was_fetched(1), was_edited(2)).revision == 2


def test_the_flag_is_clean_only_if_the_stored_revision_is_the_confirmed_one() -> None:
    """(R8)"""
    assert not after().dirty
    assert not after(was_fetched(1)).dirty
    assert after(was_fetched(1), was_edited(2)).dirty
    assert not after(was_fetched(1), was_edited(2), was_confirmed(2)).dirty


def test_an_edit_during_a_transfer_leaves_the_flag_dirty() -> None:
    """(R8)"""
    history: list[ScaleBridgeEvent] = [was_fetched(1), was_edited(2), was_edited(3, "2")]

    Scenario(CATALOGUE).given(*history).when(confirm(2)).then(was_confirmed(2))
    assert after(*history, was_confirmed(2)).dirty


def test_what_is_confirmed_already_is_no_news() -> None:
    history: list[ScaleBridgeEvent] = [was_fetched(1), was_edited(2), was_confirmed(2)]

    Scenario(CATALOGUE).given(*history).when(confirm(2)).then_nothing()
    Scenario(CATALOGUE).given(was_fetched(1)).when(confirm(9)).then_nothing()


def test_a_doubt_makes_the_flag_dirty_until_the_scale_is_read_or_written() -> None:
    """(R8)"""
    doubt = Doubt(device_id=ID, operation_id=OPERATION, content="second", now=NOW)
    doubted = CatalogueDoubted(
        device_id=ID, revision=1, content="second", operation_id=OPERATION, doubted_at=NOW
    )

    Scenario(CATALOGUE).given(was_fetched(1)).when(doubt).then(doubted)
    Scenario(CATALOGUE).given(was_fetched(1), doubted).when(doubt).then_nothing()
    assert after(was_fetched(1), doubted).dirty
    assert after(was_fetched(1), doubted).on_scale == "second"
    assert not after(was_fetched(1), doubted, was_confirmed(1)).dirty


def test_a_fetch_of_the_same_is_no_revision() -> None:
    Scenario(CATALOGUE).given(was_fetched(1)).when(fetch()).then_nothing()


def test_a_fetch_of_what_was_edited_to_confirms_the_edit() -> None:
    """(R4)"""
    edited = catalogue_with(
        CONTENTS | {"edited": {"products": [a_product(1, price=11.0), a_product(2)]}}
    )
    read = TakeFetched(
        device_id=ID,
        operation_id=OPERATION,
        content="edited",
        document={"products": [a_product(1, price=11.0), a_product(2)]},
        now=NOW,
    )

    Scenario(edited).given(was_fetched(1), was_edited(2)).when(read).then(
        was_confirmed(2, "edited")
    )


def test_at_another_address_the_copy_is_another_scales() -> None:
    """(R9)"""
    invalidate = Invalidate(device_id=ID, reason="address changed", now=NOW)

    Scenario(CATALOGUE).given(was_fetched(1)).when(invalidate).then(was_invalidated(2))
    Scenario(CATALOGUE).when(invalidate).then_nothing()
    moved = Scenario(CATALOGUE).given(was_fetched(1), was_invalidated(2))
    moved.when(invalidate).then_nothing()
    moved.when(confirm(1)).then_nothing()
    moved.when(RefreshDates(device_id=ID, now=NOW)).then_refused(NothingCached)
    assert after(was_fetched(1), was_invalidated(2)).dirty
    assert after(was_fetched(1), was_invalidated(2)).shown == {"products": []}


def test_a_replaced_revision_can_be_brought_back() -> None:
    """(R7)"""
    history: list[ScaleBridgeEvent] = [was_fetched(1), was_edited(2), was_fetched(3, "second")]
    reverted = CatalogueReverted(
        device_id=ID,
        revision=4,
        content="first",
        items=2,
        to_revision=1,
        reverted_by="anna",
        reverted_at=NOW,
    )

    Scenario(CATALOGUE).given(*history).when(revert(1, "first")).then(reverted)
    assert after(*history, reverted).document == FIRST
    assert after(*history, reverted).dirty


@pytest.mark.parametrize("to", [0, 1, 2, 9])
def test_nothing_of_another_scale_can_be_brought_back(to: int) -> None:
    """(R9)"""
    history: list[ScaleBridgeEvent] = [was_fetched(1), was_invalidated(2), was_fetched(3, "second")]

    Scenario(CATALOGUE).given(*history).when(revert(to, "first")).then_refused(RevisionUnknown)


def test_a_catalogue_whose_content_is_lost_is_not_sent() -> None:
    lost = catalogue_with({})

    history: list[ScaleBridgeEvent] = [was_fetched(1), was_edited(2)]
    copy = reduce(lost.evolve, history, lost.initial)

    assert copy.document is None
    with pytest.raises(Refused):
        lost.decide(copy, edit(price=1))
