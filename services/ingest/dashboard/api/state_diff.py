"""What changed between two states of a dashboard, cell by cell.

A client makes the new state of the old one, list by list: take out the rows named in `gone`
and those that come again, then put in each row that comes, in their order, at the place `at`.
`onlineAgeSec` grows by itself: it is the age of `lastSeenMs` at `generatedAt`, and no change.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import asdict, astuple, replace

from services.ingest.scans.api.answers import Client, FeedRow, Operator, State, Summary

Row = TypeVar("Row", bound=msgspec.Struct)
Cell = TypeVar("Cell")


class OperatorCell(Operator, rename="camel"):
    """An operator, and where in the list."""

    at: int


class ClientCell(Client, rename="camel"):
    """A client, and where in the list."""

    at: int


class FeedCell(FeedRow, rename="camel"):
    """A scan of the feed, and where in the list."""

    at: int


class Gone(msgspec.Struct):
    """Which rows are no longer in their lists; those of the feed by uuid."""

    operators: list[str]
    clients: list[str]
    feed: list[str]


class Cells(msgspec.Struct, rename="camel"):
    """What changed; whatever is left out is as before."""

    generated_at: str
    operators: list[OperatorCell]
    clients: list[ClientCell]
    feed: list[FeedCell]
    gone: Gone
    summary: Summary | msgspec.UnsetType = msgspec.UNSET
    operators_list: list[str] | msgspec.UnsetType = msgspec.UNSET
    clients_list: list[str] | msgspec.UnsetType = msgspec.UNSET
    cities_list: list[str] | msgspec.UnsetType = msgspec.UNSET

    def __bool__(self) -> bool:
        lists = (self.operators, self.clients, self.feed, *astuple(self.gone))
        whole = (self.summary, self.operators_list, self.clients_list, self.cities_list)
        return any(lists) or any(value is not msgspec.UNSET for value in whole)


def difference(old: State, new: State) -> Cells | None:
    """What makes `new` of `old`, falsy if nothing; None if names are not unique, so that cells
    could not say which row they mean.
    """
    if not all(_unique(rows) for state in (old, new) for rows in _keys(state)):
        return None
    operators, gone_operators = _moved(old.operators, new.operators, _operator)
    clients, gone_clients = _moved(old.clients, new.clients, _client)
    feed, gone_rows = _moved(old.feed, new.feed, _scan)
    return Cells(
        generated_at=new.generated_at,
        operators=[_placed(OperatorCell, row, at) for at, row in operators],
        clients=[_placed(ClientCell, row, at) for at, row in clients],
        feed=[_placed(FeedCell, row, at) for at, row in feed],
        gone=Gone(gone_operators, gone_clients, gone_rows),
        **{name: _unless_same(old, new, name) for name in _WHOLE},
    )


def carry_over(old: State, new: State) -> State:
    """`new` for comparing it later, sharing with `old` what is the same in both."""
    return replace(
        new,
        operators=_shared(old.operators, new.operators, _operator),
        clients=_shared(old.clients, new.clients, _client),
        feed=_shared(old.feed, new.feed, _scan),
        **{name: getattr(old if _same(old, new, name) else new, name) for name in _WHOLE},
    )


_WHOLE = ("summary", "operators_list", "clients_list", "cities_list")


def _operator(row: Operator) -> str:
    return row.operator


def _client(row: Client) -> str:
    return row.client


def _scan(row: FeedRow) -> str:
    return row.uuid


def _keys(state: State) -> tuple[list[str], ...]:
    return (
        [_operator(row) for row in state.operators],
        [_client(row) for row in state.clients],
        [_scan(row) for row in state.feed],
    )


def _unique(keys: Sequence[str]) -> bool:
    return len(set(keys)) == len(keys)


def _moved(
    old: Sequence[Row], new: Sequence[Row], key: Callable[[Row], str]
) -> tuple[list[tuple[int, Row]], list[str]]:
    """Rows that come, each with its place, and the keys of those that go.

    The others keep their order among each other, because a row's place follows from the row.
    """
    before = {key(row): _timeless(row) for row in old}
    after = {key(row) for row in new}
    come = [(at, row) for at, row in enumerate(new) if before.get(key(row)) != _timeless(row)]
    return come, [name for name in before if name not in after]


def _placed(cell: Callable[..., Cell], row: msgspec.Struct, at: int) -> Cell:
    return cell(**asdict(row), at=at)


def _shared(old: Sequence[Row], new: Sequence[Row], key: Callable[[Row], str]) -> list[Row]:
    before = {key(row): row for row in old}
    return [_either(before.get(key(row)), row) for row in new]


def _either(old: Row | None, new: Row) -> Row:
    return old if old is not None and _timeless(old) == _timeless(new) else new


def _timeless(row: Row) -> Row:
    """The row without what changes by itself."""
    return replace(row, online_age_sec=0) if isinstance(row, Operator) else row


def _same(old: State, new: State, name: str) -> bool:
    return bool(getattr(old, name) == getattr(new, name))


def _unless_same(old: State, new: State, name: str) -> Any:
    return msgspec.UNSET if _same(old, new, name) else getattr(new, name)
