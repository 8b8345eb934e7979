"""Strictness may be relaxed for one scale, rule by rule, explicitly and audited (R5)."""

from typing import Any

import pytest

from contracts.scale_bridge import CatalogueFetched, StrictnessSet
from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.adapters.simulator.products import ProductBase
from services.scale_bridge.domain.relaxation import RULES
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import ANNA, fetched, inside, patch, registered, working
from tests.services.scale_bridge.scheduled import a_device

FAULTS = {"badhash": "hash", "nan": "finite_numbers", "dupkeys": "unique_keys"}


async def relax(client: Any, number: int, *rules: str, reason: str = "old firmware") -> Any:
    body = {"relaxed": list(rules), "reason": reason}
    return await client.put(f"/devices/{number}/strictness", json=body)


def every_key(rules: Any) -> dict[str, bool]:
    return {name: name not in rules for name in RULES}


async def test_a_new_scale_keeps_every_rule(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        path = f"/devices/{number}/strictness"
        blank: dict[str, Any] = {"relaxed": [], "reason": "", "set_by": None, "set_at": None}
        assert (await anna.get(path)).json() == {"rules": every_key([]), **blank}

        told = (await relax(anna, number, "unique_plus", "hash")).json()
        assert told == (await anna.get(path)).json()
        assert (told["rules"], told["relaxed"]) == (
            every_key(["hash", "unique_plus"]),
            ["hash", "unique_plus"],
        )
        assert (told["set_by"], told["reason"]) == (str(ANNA), "old firmware")
        [event] = await made.events(StrictnessSet)
        assert (event.relaxed, event.set_by) == (("hash", "unique_plus"), str(ANNA))
        assert told["set_at"] == event.set_at.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    "body",
    [
        {"relaxed": ["hash"]},
        {"relaxed": ["hash"], "reason": ""},
        {"relaxed": ["hash"], "reason": "  "},
        {"relaxed": ["everything"], "reason": "x"},
        {"relaxed": "hash", "reason": "x"},
        {"reason": "x"},
    ],
    ids=str,
)
async def test_rules_are_named_and_a_reason_is_given(database: str, body: dict[str, Any]) -> None:
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)

        answer = await anna.put(f"/devices/{number}/strictness", json=body)

        assert (answer.status_code, bool(answer.json()["detail"])) == (422, True)
        assert await made.events(StrictnessSet) == []


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_one_rule_refuses_is_taken_once_exactly_that_one_is_relaxed(
    database: str, fault: str
) -> None:
    """Relaxing one relaxes no other, and of another scale none."""
    rule = FAULTS[fault]
    async with (
        a_scale(3, fault) as scale,
        a_scale(3, fault) as other,
        working(database, breaker_failures=99) as made,
        made.client() as anna,
    ):
        number, strict = await registered(anna, scale), await registered(anna, other)
        path = f"/devices/{number}/products"
        assert (await anna.get(path)).status_code == 502

        others = [name for name in RULES if name != rule]
        assert (await relax(anna, number, *others)).status_code == 200
        refused = await anna.get(path)
        assert (refused.status_code, refused.json()["code"]) == (502, "BadCatalogue")
        assert await made.events(CatalogueFetched) == []

        assert (await relax(anna, number, rule)).status_code == 200
        document = await fetched(anna, number)
        assert len(document["products"]) == 3
        assert (await anna.get(f"/devices/{strict}/products")).status_code == 502
        told = await made.events(StrictnessSet)
        assert [one.relaxed for one in told] == [tuple(others), (rule,)]

        assert (await relax(anna, number, reason="mended")).status_code == 200
        assert (await anna.get(path)).status_code == 502
        cached = (await anna.get(f"/devices/{number}/products/cached")).json()["products"]
        assert cached == document
        await made.one_end_each()


async def test_a_number_that_is_none_is_kept_as_null_and_told(database: str) -> None:
    """What is stored is JSON whatever is relaxed: read models, clients and scales can read it."""
    async with a_scale(3, "nan") as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await relax(anna, number, "finite_numbers")
        document = await fetched(anna, number)
        await made.fresh.caught_up("all")

        (plu,) = [one["pluNumber"] for one in document["products"] if one["price"] is None]
        told = (await anna.get(f"/devices/{number}/products/problems")).json()["problems"]
        assert [(one["plu"], one["field"], one["rule"]) for one in told] == [
            (str(plu), "price", "field")
        ]
        assert (await patch(anna, number, plu, price=7.5)).status_code == 200
        scale.faults.set([])
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        shown = {one["pluNumber"]: one["price"] for one in scale.base.products}
        assert shown[plu] == 7.5


async def test_two_with_one_plu_can_be_read_and_mended(database: str) -> None:
    document = catalogue(3)
    document["products"][2]["pluNumber"] = 1
    async with (
        a_scale(base=ProductBase(document)) as scale,
        working(database) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        assert (await anna.get(f"/devices/{number}/products")).status_code >= 400
        await relax(anna, number, "unique_plus")
        await fetched(anna, number)
        await made.fresh.caught_up("all")

        path = f"/devices/{number}/products/problems"
        told = (await anna.get(path)).json()["problems"]
        assert {(one["plu"], one["field"], one["rule"]) for one in told} == {
            ("1", "pluNumber", "unique")
        }
        assert (await patch(anna, number, 1, pluNumber=9)).status_code == 200
        assert (await anna.get(path)).json()["count"] == 0
