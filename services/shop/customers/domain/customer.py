"""A customer: registered, changed, merged, forgotten. The record itself is sealed."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias, assert_never

from contracts.envelope import Sealed
from contracts.shop import (
    CustomerChanged,
    CustomerForgotten,
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

    `merged` are the ids of all records that were merged into this one. `forgotten_orders` are those
    that were forgotten with the customer; None if the customer was not.
    """

    person: Sealed | None = None
    source: str | None = None
    merged: tuple[int, ...] = ()
    merged_into: int | None = None
    forgotten_orders: frozenset[int] | None = None

    @property
    def is_known(self) -> bool:
        """Whether it was registered and is a customer of its own, even if it was forgotten."""
        return self.person is not None and self.merged_into is None

    @property
    def record(self) -> Sealed:
        """The record. Raises CustomerUnknown, also if it was merged into another or forgotten."""
        if self.person is None or not self.is_known or self.forgotten_orders is not None:
            raise CustomerUnknown
        return self.person


@dataclass(frozen=True, kw_only=True, slots=True)
class _Command:
    customer_id: int
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Register(_Command):
    """Register a new customer."""

    person: Sealed
    source: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Change(_Command):
    """Replace what is not None."""

    person: Sealed | None
    source: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Absorb(_Command):
    """Take over the orders of more records, and replace this one."""

    merged: tuple[int, ...]
    person: Sealed


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeAway(_Command):
    """Close this record, which was merged into another."""

    into: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Forget(_Command):
    """Forget the person, also in these orders. Later orders may be added."""

    orders: frozenset[int]


CustomerCommand: TypeAlias = Register | Change | Absorb | MergeAway | Forget


def decide(customer: Customer, command: CustomerCommand) -> list[ShopEvent]:
    """The event of a command, if it changes something. Raises CustomerUnknown."""
    event = _event(customer, command)
    return [] if evolve(customer, event) == customer else [event]


def evolve(customer: Customer, event: ShopEvent) -> Customer:
    """The customer after an event."""
    match event:
        case CustomerRegistered() | CustomerChanged():
            return replace(customer, person=event.person, source=event.source)
        case CustomersMerged():
            return replace(customer, person=event.person, merged=event.merged)
        case CustomerMergedAway():
            return replace(customer, merged_into=event.into)
        case CustomerForgotten():
            return replace(customer, forgotten_orders=frozenset(event.orders))
        case _:
            return customer


def _event(customer: Customer, command: CustomerCommand) -> ShopEvent:
    customer_id, by, now = command.customer_id, command.by, command.now
    if isinstance(command, Register):
        return CustomerRegistered(
            customer_id=customer_id,
            person=command.person,
            source=command.source,
            registered_by=by,
            registered_at=now,
        )
    if isinstance(command, Forget):
        return _forgotten(customer, command)
    record = customer.record
    match command:
        case Change():
            return CustomerChanged(
                customer_id=customer_id,
                person=command.person or record,
                source=customer.source if command.source is None else command.source,
                changed_by=by,
                changed_at=now,
            )
        case Absorb(merged=ids, person=person):
            return CustomersMerged(
                customer_id=customer_id,
                merged=(*customer.merged, *ids),
                person=person,
                merged_by=by,
                merged_at=now,
            )
        case MergeAway(into=into):
            return CustomerMergedAway(
                customer_id=customer_id, into=into, merged_by=by, merged_at=now
            )
        case _:
            assert_never(command)


def _forgotten(customer: Customer, command: Forget) -> CustomerForgotten:
    if not customer.is_known:
        raise CustomerUnknown
    orders = command.orders | (customer.forgotten_orders or frozenset())
    return CustomerForgotten(
        customer_id=command.customer_id,
        merged=customer.merged,
        orders=tuple(sorted(orders)),
        forgotten_by=command.by,
        forgotten_at=command.now,
    )


CUSTOMER: Final = Decider(category="customer", initial=Customer(), decide=decide, evolve=evolve)
