"""Snapshots: the transactions that are visible at a moment of the database.

Postgres writes a snapshot as `xmin:xmax:xip,xip`: transactions below xmin have ended, those from
xmax on have not begun, and the listed ones in between were running. Transaction ids belong to the
cluster: a snapshot survives a crash, a failover and pg_upgrade, but not a dump restored elsewhere.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

CACHED: Final = 64
"""How many texts of snapshots are cached: the read models at one checkpoint have the same."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot of the database, and so of the log."""

    xmin: int
    xmax: int
    running: frozenset[int] = frozenset()

    @classmethod
    @lru_cache(CACHED)
    def parse(cls, text: str) -> "Snapshot":
        """Parse the text of a `pg_snapshot`. Raises ValueError."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, filter(None, running.split(",")))))

    def sees(self, xid: int) -> bool:
        """Whether transaction `xid` had ended at this moment."""
        return xid < self.xmin or (xid < self.xmax and xid not in self.running)

    def covers(self, other: "Snapshot") -> bool:
        """Whether all that `other` sees is seen here. Of two snapshots of a database, the later one
        covers the earlier.
        """
        if any(map(other.sees, self.running)):
            return False
        unseen = max(other.xmax - self.xmax, 0)
        return unseen == sum(self.xmax <= xid for xid in other.running)

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, sorted(self.running)))}"


NOTHING = Snapshot(1, 1)
"""The snapshot before the first transaction."""
