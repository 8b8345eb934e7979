"""Changes during a fetch, in any order, and any fetched catalogue: each change is repeated on the
fetched catalogue, or the stored one stays (R7, R8)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.scale_bridge import CatalogueReverted, ProductEdited, ScaleBridgeEvent
from libs.errors import Refused
from services.scale_bridge.catalogue.domain.catalogue import (
    DropMessage,
    Edit,
    RefreshDates,
    Revert,
    SetMessage,
)
from services.scale_bridge.catalogue.domain.fetched import EditedMeanwhile, set_by_people
from services.scale_bridge.catalogue.domain.product import BadFields
from services.scale_bridge.driver.domain.document import by_key
from tests.services.scale_bridge.catalogues import (
    FIRST,
    a_product,
    catalogue_with,
    edit,
    fetch,
    made,
    revert,
    was_fetched,
)

PLUS = ("1", "2", "3", "4")
STORED = {
    "products": [a_product(int(plu), name="a") for plu in PLUS[:3]],
    "messages": [{"id": 1, "value": "a", "deleted": False}],
}

edits = st.builds(
    lambda plu, fields: edit(plu, **fields),
    st.sampled_from(PLUS),
    st.fixed_dictionaries(
        {},
        optional={
            "price": st.sampled_from([10.0, 11, 12.5]),
            "name": st.sampled_from("abc"),
            "shelfLife": st.integers(0, 3),
            "sellByDate": st.sampled_from(["01-03-26", ""]),
            "pluNumber": st.integers(1, 4),
            "message": st.sampled_from([None, 1, 2]),
        },
    ),
)
texts = st.builds(
    lambda number, value: made(SetMessage, message=str(number), value=value),
    st.integers(1, 2),
    st.sampled_from("abc"),
)
drops = st.builds(lambda number: made(DropMessage, message=str(number)), st.integers(1, 2))
by_people = st.builds(
    lambda command, being_read: replace(command, being_read=being_read),
    edits | texts | drops,
    st.booleans(),
)
commands = st.lists(by_people | st.just(made(RefreshDates)), max_size=8)
read_documents = st.fixed_dictionaries(
    {
        "products": st.lists(
            st.builds(
                lambda plu, price, name: a_product(int(plu), price=price, name=name),
                *(st.sampled_from(PLUS), st.sampled_from([10.0, 11, 7]), st.sampled_from("ad")),
            ),
            unique_by=lambda item: item["pluNumber"],
            min_size=1,
        ),
        "messages": st.lists(
            st.builds(lambda n: {"id": n, "value": "d", "deleted": False}, st.integers(1, 2)),
            unique_by=lambda one: one["id"],
        ),
    }
)


@given(commands, st.integers(0, 8), read_documents)
def test_changes_during_a_fetch_are_repeated_on_the_fetched_catalogue(
    changes: list[Any], before: int, read: dict[str, Any]
) -> None:
    aggregate = catalogue_with({"first": STORED, "read": read})
    history: list[ScaleBridgeEvent] = [was_fetched(1)]
    catalogue = aggregate.state_after(history)
    since, meanwhile = 1, list[ScaleBridgeEvent]()
    for number, command in enumerate(changes):
        try:
            events = aggregate.decide(catalogue, command)
        except (Refused, BadFields):
            continue
        catalogue = aggregate.state_after([*history, *events])
        history += events
        if number < before:
            since = catalogue.revision
        else:
            meanwhile += events
    command = fetch("read", read)
    try:
        taken = aggregate.decide(catalogue, made(type(command), **_given(command, meanwhile)))
    except EditedMeanwhile:
        assert meanwhile
        return

    after = aggregate.state_after([*history, *taken])
    assert after.document is not None
    assert after.on_scale == "read"
    assert after.dirty is (after.document != read)
    revisions = [getattr(event, "revision", 0) for event in taken]
    assert revisions == sorted(revisions)
    if not meanwhile:
        assert after.document == read
    assert _touched(after.document, meanwhile) == _touched(catalogue.document or {}, meanwhile)
    assert since <= catalogue.revision


def _given(command: Any, changes: list[ScaleBridgeEvent]) -> dict[str, Any]:
    named = ("device_id", "operation_id", "content", "document", "now")
    return {**{name: getattr(command, name) for name in named}, "changes": changes}


def _touched(document: Any, changes: list[ScaleBridgeEvent]) -> dict[tuple[str, str], Any]:
    """The fields that people have set in the changes, as they are in a document."""
    fields = {}
    for name in ("price", "name", "shelfLife", "sellByDate", "message"):
        for plu in set_by_people(changes, {name}):
            fields[plu, name] = by_key(document)[plu].get(name)
    return fields


def test_a_revision_restored_during_a_fetch_stays() -> None:
    aggregate = catalogue_with({"first": STORED})
    back = made(CatalogueReverted, revision=3, content="first", items=3, to_revision=1)
    edited = made(ProductEdited, revision=2, plu="1", before={"price": 10.0}, after={"price": 1.0})
    catalogue = aggregate.state_after([was_fetched(1), edited, back])
    read = {"products": [a_product(1)]}

    [doubted] = aggregate.decide(
        catalogue, made(type(fetch()), content="x", document=read, changes=[edited, back])
    )

    after = aggregate.evolve(catalogue, doubted)
    assert (after.document, after.on_scale, after.dirty) == (STORED, "x", True)


@pytest.mark.parametrize("again", [False, True], ids=["read once", "read twice"])
@pytest.mark.parametrize(
    "command",
    [
        edit("1", price=10.0),
        edit("1", price=11.0, name="a", shelfLife=5),
        made(SetMessage, message="1", value="a"),
        made(DropMessage, message="2"),
        revert(1, "first"),
    ],
    ids=["a field", "fields", "a text", "no text", "a revision"],
)
def test_a_change_during_a_fetch_stays_even_if_the_stored_catalogue_had_it(
    command: Any, again: bool
) -> None:
    stored = {**FIRST, "messages": [_text(1, "a"), {**_text(2, "b"), "deleted": True}]}
    stored["products"] = [{**item, "name": "a"} for item in FIRST["products"]]
    read = {
        "products": [a_product(1, price=7, name="d", shelfLife=9), a_product(2)],
        "messages": [_text(1, "d"), _text(2, "b")],
    }
    aggregate = catalogue_with({"first": stored, "read": read})
    history: list[ScaleBridgeEvent] = [was_fetched(1)]
    command = replace(command, being_read=True)
    if isinstance(command, Revert):
        command = replace(command, document=stored)
    history += aggregate.decide(aggregate.state_after(history), command)
    desired = aggregate.state_after(history).document
    readings = [("first", stored), ("read", read)] if again else [("read", read)]
    for left, (content, document) in reversed([*enumerate(reversed(readings))]):
        taking = replace(fetch(content, document), changes=tuple(history[1:]), being_read=left > 0)
        history += aggregate.decide(aggregate.state_after(history), taking)

    catalogue = aggregate.state_after(history)
    assert catalogue.dirty
    assert catalogue.document is not None
    assert desired is not None
    if isinstance(command, Edit):
        now, then = (by_key(one)["1"] for one in (catalogue.document, desired))
        assert {name: now[name] for name in command.fields} == {
            name: then[name] for name in command.fields
        }
    elif isinstance(command, Revert):
        assert catalogue.document == desired
    else:
        position = int(command.message) - 1
        assert catalogue.document["messages"][position] == desired["messages"][position]


def _text(number: int, value: str) -> dict[str, Any]:
    return {"id": number, "value": value, "deleted": False}


@pytest.mark.parametrize(
    ("plu", "fields"),
    [("3", {"price": 5}), ("1", {"pluNumber": 9})],
    ids=["the product is gone", "its new PLU is another's"],
)
def test_a_change_that_cannot_be_repeated_refuses_the_fetch(
    plu: str, fields: dict[str, Any]
) -> None:
    aggregate = catalogue_with({"first": STORED})
    catalogue = aggregate.state_after([was_fetched(1)])
    changes = aggregate.decide(catalogue, edit(plu, **fields))
    read = {"products": [a_product(1), a_product(9)]}

    with pytest.raises(EditedMeanwhile):
        aggregate.decide(
            catalogue, made(type(fetch()), content="x", document=read, changes=changes)
        )
