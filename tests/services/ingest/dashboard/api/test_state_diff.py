"""What changed between two states of a dashboard."""

from typing import Any

from msgspec.structs import replace

from services.ingest.dashboard.api.state_diff import carry_over, difference
from services.ingest.scans.api.answers import Client, FeedRow, Filters, Operator, State, Summary


def operator(name: str, items: int = 1, age: int = 0) -> Operator:
    return Operator(name, True, age, 1000, "ivancov", "Novosem", "8", items, 0, "now")


def client(name: str, items: int = 1) -> Client:
    rest = [0] * (len(Client.__struct_fields__) - 2)
    return Client(name, items, *rest)


def row(uuid: str) -> FeedRow:
    return FeedRow("now", "anna", "ITEM", "ivancov", "Novosem", "8", "777", uuid, 1000, "")


def state(**told: Any) -> State:
    empty = State(
        "then",
        [],
        [],
        [],
        Summary(**dict.fromkeys(Summary.__struct_fields__, 0)),
        Filters(None, None, None, None, None),
        [],
        [],
        [],
    )
    return replace(empty, **told)


def test_only_rows_that_differ_come_each_with_its_place_and_what_is_gone_is_named() -> None:
    old = state(
        operators=[operator("anna"), operator("boris"), operator("dora")],
        clients=[client("ivancov")],
        feed=[row("3"), row("2"), row("1")],
    )
    new = state(
        operators=[operator("clara", 5), operator("boris", 2), operator("anna")],
        clients=[client("ivancov")],
        feed=[row("4"), row("3"), row("1")],
    )

    cells = difference(old, new)

    assert cells
    assert [(one.operator, one.at) for one in cells.operators] == [("clara", 0), ("boris", 1)]
    assert [(one.uuid, one.at) for one in cells.feed] == [("4", 0)]
    assert (cells.clients, cells.gone.clients) == ([], [])
    assert (cells.gone.operators, cells.gone.feed) == (["dora"], ["2"])


def test_growing_older_is_no_change() -> None:
    cells = difference(
        state(operators=[operator("anna", age=1)], generated_at="then"),
        state(operators=[operator("anna", age=9)], generated_at="now"),
    )

    assert cells is not None
    assert not cells


def test_a_list_or_the_sums_come_whole_if_they_changed() -> None:
    cells = difference(state(cities_list=["Rostov"]), state(cities_list=[]))

    assert cells
    assert cells.cities_list == []


def test_names_that_look_alike_need_the_whole_state() -> None:
    # Somebody is called as nobody is shown.
    twins = state(operators=[operator("—"), operator("—", 2)])

    assert difference(twins, state()) is None
    assert difference(state(), twins) is None


def test_what_is_remembered_shares_what_did_not_change() -> None:
    old = state(operators=[operator("anna"), operator("boris")], feed=[row("1")])
    new = state(operators=[operator("boris", 2), operator("anna", age=9)], feed=[row("1")])

    kept = carry_over(old, new)

    assert kept.operators[1] is old.operators[0]
    assert kept.operators[0] is new.operators[0]
    assert kept.feed[0] is old.feed[0]
    assert not difference(kept, new)
