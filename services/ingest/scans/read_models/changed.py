"""The type of the column that says which transaction wrote a row last.

Followers of changes read it by snapshots. A rebuilt table says when it was rebuilt: `changed`
is about the table, not about what happened.
"""

from typing import Any

from sqlalchemy.types import UserDefinedType


class TransactionId(UserDefinedType[int]):
    """Postgres's `xid8`. Every statement that writes a row leaves it to its default or sets it."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Its name."""
        return "XID8"
