"""A question as SQL conditions, for every table that has its columns."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Table, and_, bindparam

from services.ingest.scans.domain.filter import ScanFilter

FILTERS: Final = ("operator", "client", "city")


def condition(table: Table, question: ScanFilter) -> ColumnElement[bool]:
    """Rows of the question's tenant that pass its filters, of whatever day.

    Row-level security says the tenant too, but in a way no index can serve.
    """
    filters = {name: getattr(question, name) for name in filters_of(question)}
    return and_(
        table.c.tenant == question.tenant,
        *(table.c[name] == value for name, value in filters.items()),
    )


def filters_of(question: ScanFilter) -> tuple[str, ...]:
    """The filters that let not everything pass: a statement is made once for each such set."""
    return tuple(name for name in FILTERS if getattr(question, name) is not None)


def parametrized_condition(table: Table, filters: tuple[str, ...]) -> ColumnElement[bool]:
    """As `condition`, with a parameter `tenant` and one for each filter: see `values`."""
    names = ("tenant", *filters)
    return and_(*(table.c[name] == bindparam(name) for name in names))


def values(question: ScanFilter) -> dict[str, Any]:
    """The parameters of `parametrized_condition`."""
    return {name: getattr(question, name) for name in ("tenant", *filters_of(question))}
