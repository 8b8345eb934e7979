"""Rows as the parameters of `unnest($1::…[], $2::…[], …)`: an array for each column."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any


class Column(list[Any]):
    """An array of plain values, for one parameter of a statement and nothing else.

    asyncpg goes through an array twice: first it asks of every value, by abstract base classes,
    whether that is an array itself, which takes longer than to encode it; then it encodes them. To
    the first round a column has no values. Should asyncpg ever go round another number of times,
    the server refuses the array: its length is always the true one.
    """

    __slots__ = ("_encoding",)

    def __init__(self, values: Iterable[Any]) -> None:
        super().__init__(values)
        self._encoding = True

    def __iter__(self) -> Iterator[Any]:
        """No values and all values, in turn."""
        self._encoding = not self._encoding
        return super().__iter__() if self._encoding else iter(())


def columns(rows: Iterable[Sequence[Any]]) -> list[Column]:
    """The columns of rows that are equally long; none if there is no row."""
    return [Column(values) for values in zip(*rows, strict=True)]
