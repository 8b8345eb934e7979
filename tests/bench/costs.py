"""What a load costs: CPU of every process, and how many events the mean batch of a stage holds.

Two cores carry eight processes, so a rate alone does not say what would have to change. `waits`
are the times a process gave up its core by itself: for a connection's process these are its round
trips, and the times it waited for the disk or for a lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.table import Table

MEASURING: Final = "bench"
"""How the names of processes begin that only measure: they are listed, and not summed up."""

SHOWN_SECONDS: Final = 0.01
"""CPU from which a process has a row of its own in the table."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU in seconds, user and system."""

    cpu: float = 0.0
    waits: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.cpu + other.cpu, self.waits + other.waits)

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(self.cpu - other.cpu, self.waits - other.waits)


@dataclass(kw_only=True, slots=True)
class Cost:
    """What a load came to, or several.

    `batches` says of each stage how many batches there were and how many events they held.
    """

    title: str
    events: int = 0
    usage: dict[str, Usage] = field(default_factory=dict)
    batches: dict[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, samples: "Sequence[Cost]") -> "Cost":
        """All samples of one side together."""
        together = cls(title=samples[0].title)
        for sample in samples:
            together.events += sample.events
            together.add_batches(sample.batches)
            for name, usage in sample.usage.items():
                together.add_usage(name, usage)
        return together

    def add_usage(self, name: str, usage: Usage) -> None:
        self.usage[name] = self.usage.get(name, Usage()) + usage

    def add_batches(self, counted: Mapping[str, tuple[float, float]]) -> None:
        for stage, (batches, events) in counted.items():
            before = self.batches.get(stage, (0.0, 0.0))
            self.batches[stage] = before[0] + batches, before[1] + events

    @property
    def micros_per_event(self) -> float:
        """CPU of all processes but those that only measure; 0 before there was an event."""
        total = sum(one.cpu for name, one in self.usage.items() if not name.startswith(MEASURING))
        return self._per_event(total) * 1e6

    @property
    def mean_sizes(self) -> dict[str, float]:
        """Events in the mean batch of every stage that had any."""
        return {stage: events / count for stage, (count, events) in self.batches.items() if count}

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "events": self.events,
            "micros_per_event": self.micros_per_event,
            "mean_sizes": self.mean_sizes,
            "processes": {
                name: {"cpu_seconds": one.cpu, "waits": one.waits}
                for name, one in self.usage.items()
            },
        }

    def table(self) -> Table:
        """A row per process, the dearest first; mean sizes below."""
        sizes = "; ".join(f"{stage} {mean:,.1f}" for stage, mean in self.mean_sizes.items())
        caption = f"events in the mean {sizes}" if sizes else ""
        table = Table(
            title=f"{self.title}: {self.events:,} events", title_justify="left", caption=caption
        )
        table.add_column("process", min_width=36)
        for heading in ("CPU s", "µs per event", "waits per 1,000 events"):
            table.add_column(heading, justify="right")
        for name, used in sorted(self.usage.items(), key=lambda one: -one[1].cpu):
            if used.cpu < SHOWN_SECONDS:
                continue
            micros, waits = self._per_event(used.cpu) * 1e6, self._per_event(used.waits) * 1000
            table.add_row(name, f"{used.cpu:.2f}", f"{micros:.1f}", f"{waits:,.0f}")
        table.add_section()
        table.add_row("all that work", "", f"{self.micros_per_event:.1f}", "")
        return table

    def _per_event(self, value: float) -> float:
        return value / self.events if self.events else 0.0
