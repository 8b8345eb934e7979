"""What was sent, what was answered, and whether the answers were true to the contract."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from deploy.demo.device import Answer
from deploy.demo.mischief import Event
from deploy.demo.truth import Told, is_fit


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """The day so far, in events; `sent` counts repeats, `known` what the answers called
    duplicates, `refused` what they called errors."""

    planned: int
    sent: int
    acknowledged: int
    known: int
    refused: int


class Ledger:
    """Everything the devices did. Times are those of this machine's clock, aware."""

    def __init__(self, *, planned: int) -> None:
        self._planned = planned
        self._first_sent: dict[str, datetime] = {}
        self._told: dict[str, Told] = {}
        self._new: Counter[str] = Counter()
        self._unanswered: set[str] = set()
        self._sent = self._known = self._refused = 0
        self.troubles: Counter[str] = Counter()
        """How often the weather did what."""
        self.wrong: list[str] = []
        """Answers that contradict the contract, in words."""

    def sending(self, batch: Mapping[str, Event], *, now: datetime) -> None:
        """A batch goes out; from here on its events may have arrived."""
        self._sent += len(batch)
        for key in batch:
            self._first_sent.setdefault(key, now)

    def answered(self, batch: Mapping[str, Event], answer: Answer, *, now: datetime) -> None:
        """Something came back for it, or nothing did."""
        if not answer.accepts:
            self._unanswered |= batch.keys()
            return
        self._check(batch, answer.body)
        for key, event in batch.items():
            told = Told(event=event, sent_at=self._first_sent[key], acked_at=now)
            self._told.setdefault(key, told)

    def figures(self) -> Figures:
        """The counts of now."""
        return Figures(
            planned=self._planned,
            sent=self._sent,
            acknowledged=len(self._told),
            known=self._known,
            refused=self._refused,
        )

    def told(self) -> list[Told]:
        """Every acknowledged event once."""
        return list(self._told.values())

    def never_new(self) -> int:
        """Events no answer called new although every one of their requests was answered."""
        return sum(
            1
            for key, told in self._told.items()
            if is_fit(told.event) and key not in self._unanswered and not self._new[key]
        )

    def often_new(self) -> int:
        """Events that more than one answer called new."""
        return sum(1 for count in self._new.values() if count > 1)

    def _check(self, batch: Mapping[str, Event], body: Mapping[str, object]) -> None:
        """`inserted + skipped + errors` is the batch, and the duplicates are named (spec §2.3)."""
        named, errors = set(_texts(body.get("duplicates"))), _texts(body.get("errors"))
        fit = {key for key, event in batch.items() if is_fit(event)}
        new = fit - named
        self._known += len(named)
        self._refused += len(errors)
        self._new.update(new)
        said = (body.get("inserted"), body.get("skipped"), len(errors))
        if said != (len(new), len(fit - new), len(batch) - len(fit)) or not named <= fit:
            self.wrong.append(
                f"{len(batch)} events, {len(fit)} of them fit and {len(fit - new)} named as "
                f"duplicates, were counted as inserted, skipped, errors = {said}"
            )


def _texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list) else []
