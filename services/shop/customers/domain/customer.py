"""A customer: registered, changed, merged. The record itself is sealed."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias, assert_never

from contracts.envelope import Sealed
from contracts.shop import (
    CustomerChanged,
    CustomerMergedAway,
    CustomerRegistered,
    CustomersMerged,
    ShopEvent,
)
from libs.errors import Unfit
from libs.eventsourcing.decider import Decider
from services.shop.customers.domain.person import CustomerUnknown


class SameCustomer(Unfit):
    """Клиента нельзя объединить с самим собой"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Customer:
    """The state of a customer; without a `person` there is none.

    `merged` are the ids of all records that were merged into this one.
    """

    person: Sealed | None = None
    source: str | None = None
    merged: tuple[int, ...] = ()
    merged_into: int | None = None

    @property
    def exists(self) -> bool:
        """Whether it is a customer of its own."""
        return self.person is not None and self.merged_into is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Register:
    """Register a new customer."""

    customer_id: int
    person: Sealed
    source: str | None
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Replace the record."""

    customer_id: int
    person: Sealed
    source: str | None
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Absorb:
    """Take over the orders of another record, and replace this one."""

    customer_id: int
    merged: tuple[int, ...]
    person: Sealed
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeAway:
    """End this record in favour of another."""

    customer_id: int
    into: int
    by: str
    now: datetime


CustomerCommand: TypeAlias = Register | Change | Absorb | MergeAway


def decide(customer: Customer, command: CustomerCommand) -> list[ShopEvent]:
    """The event of a command. Raises CustomerUnknown."""
    if not (isinstance(command, Register) or customer.exists):
        raise CustomerUnknown
    match command:
        case Register():
            return [
                CustomerRegistered(
                    customer_id=command.customer_id,
                    person=command.person,
                    source=command.source,
                    registered_by=command.by,
                    registered_at=command.now,
                )
            ]
        case Change():
            return [
                CustomerChanged(
                    customer_id=command.customer_id,
                    person=command.person,
                    source=command.source,
                    changed_by=command.by,
                    changed_at=command.now,
                )
            ]
        case Absorb() | MergeAway():
            return [_merged(command)]
        case _:
            assert_never(command)


def _merged(command: Absorb | MergeAway) -> CustomersMerged | CustomerMergedAway:
    customer_id, by, now = command.customer_id, command.by, command.now
    if isinstance(command, MergeAway):
        into = command.into
        return CustomerMergedAway(customer_id=customer_id, into=into, merged_by=by, merged_at=now)
    return CustomersMerged(
        customer_id=customer_id,
        merged=command.merged,
        person=command.person,
        merged_by=by,
        merged_at=now,
    )


def evolve(customer: Customer, event: ShopEvent) -> Customer:
    """The customer after an event."""
    match event:
        case CustomerRegistered() | CustomerChanged():
            return replace(customer, person=event.person, source=event.source)
        case CustomersMerged():
            return replace(customer, person=event.person, merged=event.merged)
        case CustomerMergedAway():
            return replace(customer, merged_into=event.into)
        case _:
            return customer


CUSTOMER: Final = Decider(category="customer", initial=Customer(), decide=decide, evolve=evolve)
