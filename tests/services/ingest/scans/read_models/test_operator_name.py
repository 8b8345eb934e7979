"""All spellings of a name are one operator, displayed as first received."""

import unicodedata
from datetime import timedelta
from typing import Any

import pytest

from tests.services.ingest.history import (
    NOON,
    NOON_MS,
    a_scan,
    append,
    event,
    uuid,
)
from tests.services.ingest.service import BOXES, CSV, DELETIONS, RAW, STATE, Service

FIRST = unicodedata.normalize("NFD", "Андрей  Ким")
"""Whoever wrote it first had a keyboard of another kind, and hit the space bar twice."""
SPELLINGS = (FIRST, "Андрей Ким", "Андрей Ким ", "\tАндрей\xa0Ким")
OTHERS = ("андрей ким", "АндрейКим")


async def all_spellings(ingest: Service) -> None:
    """One item in each spelling, the first written one arriving last, and one of each other."""
    late = [event(n, operator=one) for n, one in enumerate(SPELLINGS[1:] + OTHERS, 2)]
    await ingest.send(*late[:2])
    await ingest.send(*late[2:])
    first = a_scan(1, operator=FIRST, received_at=NOON - timedelta(hours=1))
    await append(ingest.store, first)


async def displayed_names(ingest: Service, **params: str) -> dict[str, Any]:
    """The operators that each answer shows."""
    state, boxes = await ingest.get(STATE, **params), await ingest.get(BOXES, **params)
    items = [one for c in boxes["clients"] for city in c["cities"] for one in city["boxes"]]
    logs = (await ingest.get(RAW, **params))["logs"]
    csv = (await ingest.viewer.get(CSV, params=params)).content.decode("utf-8-sig")
    return {
        "operators": {one["operator"]: one["itemsToday"] for one in state["operators"]},
        "list": set(state["operatorsList"]),
        "feed": {row["operator"] for row in state["feed"]},
        "boxes": {name for one in items for name in one["operators"]},
        "items": {item["operator"] for one in items for item in one["items"]},
        "raw": {row["operator"] for row in logs},
        "csv": {line.split(";")[3] for line in csv.splitlines()[1:]},
    }


async def test_all_spellings_are_one_operator_everywhere(ingest: Service) -> None:
    await all_spellings(ingest)

    names = await displayed_names(ingest)

    everyone = {FIRST, *OTHERS}
    assert names.pop("operators") == {FIRST: 4} | dict.fromkeys(OTHERS, 1)
    assert names == dict.fromkeys(names, everyone)


@pytest.mark.parametrize("spelling", [*SPELLINGS, " Андрей Ким\n"], ids=ascii)
async def test_a_filter_finds_the_operator_in_whatever_spelling(
    ingest: Service, spelling: str
) -> None:
    await all_spellings(ingest)

    names = await displayed_names(ingest, operator=spelling)

    assert names.pop("operators") == {FIRST: 4}
    assert set(map(frozenset, names.values())) == {frozenset({FIRST})}


async def test_a_name_of_blanks_is_empty(ingest: Service) -> None:
    await ingest.send(event(1, operator="   "), event(2, operator=""), event(3))

    names = await displayed_names(ingest, operator=" ")

    assert names["operators"] == {"—": 2}
    assert names["raw"] == {""}


async def test_spellings_of_who_removed_are_one_operator(ingest: Service) -> None:
    await ingest.send(*(event(n) for n in range(1, 4)))
    for n, spelling in enumerate(("Вера  Я", "Вера Я", "Вера Я "), 1):
        ingest.clock.advance(seconds=1)
        await ingest.remove(uuid(n), operator=spelling)

    deletions = (await ingest.get(DELETIONS, operator="Вера Я"))["deletions"]

    assert [one["deleted_by"] for one in deletions] == ["Вера  Я"] * 3


async def test_in_one_batch_the_spelling_scanned_first_is_displayed(ingest: Service) -> None:
    await ingest.send(
        event(1, ts=NOON_MS, operator="Анна"), event(2, ts=NOON_MS - 1, operator="Анна ")
    )

    assert (await displayed_names(ingest))["operators"] == {"Анна ": 2}
