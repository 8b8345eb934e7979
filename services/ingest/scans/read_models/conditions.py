"""A question as SQL conditions, for every table that has its columns."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Table, and_, bindparam

from services.ingest.scans.domain.filter import Question

FILTERS: Final = ("operator", "client", "city")


def asked(table: Table, question: Question) -> ColumnElement[bool]:
    """Rows of the question's tenant that pass its filters, of whatever day.

    Row-level security says the tenant too, but in a way no index can serve.
    """
    filters = {name: getattr(question, name) for name in filters_of(question)}
    return and_(
        table.c.tenant == question.tenant,
        *(table.c[name] == value for name, value in filters.items()),
    )


def filters_of(question: Question) -> tuple[str, ...]:
    """The filters that let not everything pass: a statement is made once for each such set."""
    return tuple(name for name in FILTERS if getattr(question, name) is not None)


def asked_by(table: Table, filters: tuple[str, ...]) -> ColumnElement[bool]:
    """As `asked`, with a parameter `tenant` and one for each filter: see `values`."""
    names = ("tenant", *filters)
    return and_(*(table.c[name] == bindparam(name) for name in names))


def values(question: Question) -> dict[str, Any]:
    """The parameters of `asked_by`."""
    return {name: getattr(question, name) for name in ("tenant", *filters_of(question))}
