"""The difference between two states of a dashboard."""

from typing import Any

from msgspec.structs import replace

from services.ingest.dashboard.api.state_diff import carry_over, difference
from services.ingest.scans.api.responses import Client, FeedRow, Filters, Operator, State, Summary


def operator(name: str, items: int = 1, age: int = 0) -> Operator:
    return Operator(name, True, age, 1000, "ivancov", "Novosem", "8", items, 0, "now")


def client(name: str, items: int = 1) -> Client:
    rest = [0] * (len(Client.__struct_fields__) - 2)
    return Client(name, items, *rest)


def row(uuid: str) -> FeedRow:
    return FeedRow("now", "anna", "ITEM", "ivancov", "Novosem", "8", "777", uuid, 1000, "")


def state(**fields: Any) -> State:
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
    return replace(empty, **fields)


def test_only_changed_rows_are_sent_with_their_positions_and_removed_ones_are_named() -> None:
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


def test_the_age_alone_is_no_change() -> None:
    cells = difference(
        state(operators=[operator("anna", age=1)], generated_at="then"),
        state(operators=[operator("anna", age=9)], generated_at="now"),
    )

    assert cells is not None
    assert not cells


def test_a_changed_list_or_summary_is_sent_whole() -> None:
    cells = difference(state(cities_list=["Rostov"]), state(cities_list=[]))

    assert cells
    assert cells.cities_list == []


def test_repeated_keys_need_the_whole_state() -> None:
    # Somebody is called as nobody is shown.
    twins = state(operators=[operator("—"), operator("—", 2)])

    assert difference(twins, state()) is None
    assert difference(state(), twins) is None


def test_states_in_memory_share_unchanged_rows() -> None:
    old = state(operators=[operator("anna"), operator("boris")], feed=[row("1")])
    new = state(operators=[operator("boris", 2), operator("anna", age=9)], feed=[row("1")])

    shared = carry_over(old, new)

    assert shared.operators[1] is old.operators[0]
    assert shared.operators[0] is new.operators[0]
    assert shared.feed[0] is old.feed[0]
    assert not difference(shared, new)
