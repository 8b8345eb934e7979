"""Rows as parameters of `unnest($1::…[], $2::…[], …)`: one array per column."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any


class Column(list[Any]):
    """An array of plain values, usable only as one parameter of one statement.

    asyncpg iterates over an array twice: first it checks for every value whether that is an array
    itself, which takes longer than encoding it; then it encodes the values. The first iteration
    therefore yields no values. If asyncpg ever iterates another number of times, the server rejects
    the array, because the length is always the true one.
    """

    __slots__ = ("_encoding",)

    def __init__(self, values: Iterable[Any]) -> None:
        super().__init__(values)
        self._encoding = True

    def __iter__(self) -> Iterator[Any]:
        """Yield no values and all values alternately."""
        self._encoding = not self._encoding
        return super().__iter__() if self._encoding else iter(())


def columns(rows: Iterable[Sequence[Any]]) -> list[Column]:
    """The columns of rows of equal length; an empty list without rows."""
    return [Column(values) for values in zip(*rows, strict=True)]
