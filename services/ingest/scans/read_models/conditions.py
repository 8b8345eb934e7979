"""A `ScanFilter` as SQL conditions, for every table with the columns of `FILTERS`."""

from typing import Any

from sqlalchemy import ColumnElement, Table, and_, bindparam

from libs.postgres.filters import Filters, eq
from services.ingest.scans.domain.filter import FILTERS, ScanFilter


def condition(table: Table, scan_filter: ScanFilter, **columns: str) -> ColumnElement[bool]:
    """Rows of the tenant that match the filters, on any day.

    `columns` has the names of columns that differ from the names of their filters. Row-level
    security also restricts the tenant, but does not use the index.
    """
    names = ("tenant", *FILTERS)
    filters = Filters(**{name: eq(table.c[columns.get(name, name)]) for name in names})
    return filters.where(values(scan_filter))


def filters_of(scan_filter: ScanFilter) -> tuple[str, ...]:
    """The names of the filters that are set; statements are cached for each such combination."""
    return tuple(name for name in FILTERS if getattr(scan_filter, name) is not None)


def parametrized_condition(table: Table, filters: tuple[str, ...]) -> ColumnElement[bool]:
    """As `condition`, with a parameter `tenant` and one for each filter: see `values`."""
    names = ("tenant", *filters)
    return and_(*(table.c[name] == bindparam(name) for name in names))


def values(scan_filter: ScanFilter) -> dict[str, Any]:
    """The parameters of `parametrized_condition`."""
    return {name: getattr(scan_filter, name) for name in ("tenant", *filters_of(scan_filter))}
