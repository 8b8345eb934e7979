"""A question as SQL conditions, for every table that has its columns."""

from sqlalchemy import ColumnElement, Table, and_

from services.ingest.domain.question import Question


def asked(table: Table, question: Question) -> ColumnElement[bool]:
    """Rows of the question's tenant that pass its filters, of whatever day.

    Row-level security says the tenant too, but in a way no index can serve.
    """
    filters = {"operator": question.operator, "client": question.client, "city": question.city}
    return and_(
        table.c.tenant == question.tenant,
        *(table.c[name] == value for name, value in filters.items() if value is not None),
    )
