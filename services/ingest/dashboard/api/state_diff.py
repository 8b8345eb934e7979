"""The difference between two states of a dashboard.

A client applies it to each list of the old state: remove the rows named in `gone` and the rows
that are sent again, then insert the sent rows in their order, each at its position `at`.
`onlineAgeSec` is never sent: it is the age of `lastSeenMs` at `generatedAt`.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import asdict, astuple, replace

from services.ingest.scans.api.responses import Client, FeedRow, Operator, State, Summary

Row = TypeVar("Row", bound=msgspec.Struct)
Cell = TypeVar("Cell")


class OperatorCell(Operator, rename="camel"):
    """An operator and its position in the list."""

    at: int


class ClientCell(Client, rename="camel"):
    """A client and its position in the list."""

    at: int


class FeedCell(FeedRow, rename="camel"):
    """A scan of the feed and its position in the list."""

    at: int


class Gone(msgspec.Struct):
    """The keys of the rows that left their lists; scans of the feed by uuid."""

    operators: list[str]
    clients: list[str]
    feed: list[str]


class Cells(msgspec.Struct, rename="camel"):
    """The changes; a field that is left out has not changed."""

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
    """The changes from `old` to `new`, falsy if there are none.

    None if keys are not unique, so that a key would not identify a row.
    """
    if not all(_unique(rows) for state in (old, new) for rows in _keys(state)):
        return None
    operators, gone_operators = _changed(old.operators, new.operators, _operator)
    clients, gone_clients = _changed(old.clients, new.clients, _client)
    feed, gone_rows = _changed(old.feed, new.feed, _scan)
    return Cells(
        generated_at=new.generated_at,
        operators=[_cell(OperatorCell, row, at) for at, row in operators],
        clients=[_cell(ClientCell, row, at) for at, row in clients],
        feed=[_cell(FeedCell, row, at) for at, row in feed],
        gone=Gone(gone_operators, gone_clients, gone_rows),
        **{name: _unless_same(old, new, name) for name in _WHOLE},
    )


def carry_over(old: State, new: State) -> State:
    """`new`, sharing equal rows with `old` to save memory."""
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


def _changed(
    old: Sequence[Row], new: Sequence[Row], key: Callable[[Row], str]
) -> tuple[list[tuple[int, Row]], list[str]]:
    """The new and changed rows with their positions, and the keys of the rows that are gone.

    All other rows keep their relative order: a row's position follows from its values.
    """
    before = {key(row): _timeless(row) for row in old}
    after = {key(row) for row in new}
    changed = [(at, row) for at, row in enumerate(new) if before.get(key(row)) != _timeless(row)]
    return changed, [name for name in before if name not in after]


def _cell(cell: Callable[..., Cell], row: msgspec.Struct, at: int) -> Cell:
    return cell(**asdict(row), at=at)


def _shared(old: Sequence[Row], new: Sequence[Row], key: Callable[[Row], str]) -> list[Row]:
    before = {key(row): row for row in old}
    return [_either(before.get(key(row)), row) for row in new]


def _either(old: Row | None, new: Row) -> Row:
    return old if old is not None and _timeless(old) == _timeless(new) else new


def _timeless(row: Row) -> Row:
    """The row without the field that changes with time alone."""
    return replace(row, online_age_sec=0) if isinstance(row, Operator) else row


def _same(old: State, new: State, name: str) -> bool:
    return bool(getattr(old, name) == getattr(new, name))


def _unless_same(old: State, new: State, name: str) -> Any:
    return msgspec.UNSET if _same(old, new, name) else getattr(new, name)
