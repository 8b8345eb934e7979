"""Which transactions a moment of the database can see, as Postgres itself writes it.

A snapshot reads `xmin:xmax:xip,xip`: everything below xmin has ended, nothing from xmax on has
begun, and the listed ones in between were still running. Ids of transactions are the cluster's
own: a snapshot survives crash, failover and pg_upgrade, but not a dump restored elsewhere.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of the log."""

    xmin: int
    xmax: int
    running: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        """Read Postgres's `pg_snapshot` text; raises ValueError for anything else."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, filter(None, running.split(",")))))

    def sees(self, xid: int) -> bool:
        """Whether what transaction `xid` wrote was committed (or undone) at this moment."""
        return xid < self.xmin or (xid < self.xmax and xid not in self.running)

    def covers(self, other: "Snapshot") -> bool:
        """Whether all that `other` sees is seen here; of one database's, the later one's answer."""
        if any(map(other.sees, self.running)):
            return False
        unseen = max(other.xmax - self.xmax, 0)
        return unseen == sum(self.xmax <= xid for xid in other.running)

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, sorted(self.running)))}"


NOTHING = Snapshot(1, 1)
"""The moment before the first transaction."""
