"""The type of the column `changed`: the transaction that wrote a row last.

Readers that follow changes compare it with snapshots. A rebuild sets it too.
"""

from typing import Any

from sqlalchemy.types import UserDefinedType


class TransactionId(UserDefinedType[int]):
    """Postgres's `xid8`. Its default is the current transaction; an update must set it."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The name of the type."""
        return "XID8"
