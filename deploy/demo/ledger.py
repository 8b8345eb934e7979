"""The record of what was sent and answered, and of responses that contradict the contract."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from deploy.demo.device import Answer
from deploy.demo.mischief import Event
from deploy.demo.truth import Acknowledged, is_fit


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """The day so far, in events; `sent` counts repeats, `known` what the answers called
    duplicates, `refused` what they called errors."""

    planned_events: int
    sent: int
    acknowledged: int
    known: int
    refused: int


class Ledger:
    """Everything the devices did. Times are aware, by this machine's clock."""

    def __init__(self, *, planned_events: int) -> None:
        self._planned_events = planned_events
        self._first_sent: dict[str, datetime] = {}
        self._acknowledged: dict[str, Acknowledged] = {}
        self._new: Counter[str] = Counter()
        self._unanswered: set[str] = set()
        self._sent = self._known = self._refused = 0
        self.troubles: Counter[str] = Counter()
        """How often the weather did what."""
        self.wrong: list[str] = []
        """Answers that contradict the contract, in words."""

    def record_sent(self, batch: Mapping[str, Event], *, now: datetime) -> None:
        """Record that a batch is sent; from now on its events may have arrived."""
        self._sent += len(batch)
        for key in batch:
            self._first_sent.setdefault(key, now)

    def record_answer(self, batch: Mapping[str, Event], answer: Answer, *, now: datetime) -> None:
        """Record the response to a batch, or that there was none."""
        if not answer.accepts:
            self._unanswered |= batch.keys()
            return
        self._check(batch, answer.body)
        for key, event in batch.items():
            acknowledged = Acknowledged(event=event, sent_at=self._first_sent[key], acked_at=now)
            self._acknowledged.setdefault(key, acknowledged)

    def figures(self) -> Figures:
        """The present counts."""
        return Figures(
            planned_events=self._planned_events,
            sent=self._sent,
            acknowledged=len(self._acknowledged),
            known=self._known,
            refused=self._refused,
        )

    def acknowledged(self) -> list[Acknowledged]:
        """Every acknowledged event once."""
        return list(self._acknowledged.values())

    def never_new(self) -> int:
        """The number of events that no response counted as new, all requests being answered."""
        return sum(
            1
            for key, acknowledged in self._acknowledged.items()
            if is_fit(acknowledged.event) and key not in self._unanswered and not self._new[key]
        )

    def often_new(self) -> int:
        """The number of events that several responses counted as new."""
        return sum(1 for count in self._new.values() if count > 1)

    def _check(self, batch: Mapping[str, Event], body: Mapping[str, object]) -> None:
        """`inserted + skipped + errors` is the batch, and the duplicates are named (spec §2.3)."""
        named, errors = set(_texts(body.get("duplicates"))), _texts(body.get("errors"))
        fit = {key for key, event in batch.items() if is_fit(event)}
        new = fit - named
        self._known += len(named)
        self._refused += len(errors)
        self._new.update(new)
        counted = (body.get("inserted"), body.get("skipped"), len(errors))
        if counted != (len(new), len(fit - new), len(batch) - len(fit)) or not named <= fit:
            self.wrong.append(
                f"{len(batch)} events, {len(fit)} of them fit and {len(fit - new)} named as "
                f"duplicates, were counted as inserted, skipped, errors = {counted}"
            )


def _texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list) else []
