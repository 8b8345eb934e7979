"""Commands of customers: open the sealed record, change it, seal it again, append.

A phone belongs to one customer of a shop: its claim is appended together with the customer's event.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from contracts.envelope import Sealed
from libs.errors import BadRequest
from libs.eventsourcing.claims import (
    CLAIM,
    ClaimKey,
    MoveKey,
    ReleaseKey,
    Taken,
    claim_id,
    owner_of,
)
from libs.eventsourcing.execute_many import Aggregate, States, execute_many
from libs.eventsourcing.log import NO_STREAM, Metadata, VersionConflict
from libs.postgres.sequences import Sequence
from libs.security.data_keys import Subject, text_of
from services.shop.context import Context
from services.shop.customers.domain import person as people
from services.shop.customers.domain.customer import (
    CUSTOMER,
    Absorb,
    Change,
    Customer,
    CustomerCommand,
    MergeAway,
    Register,
    SameCustomer,
)
from services.shop.customers.domain.person import Address, CustomerUnknown, Person

NUMBERS: Final = Sequence("customer_number")
ENTRIES: Final = Sequence("customer_entry")
"""The ids of addresses and of important dates."""
ATTEMPTS: Final = 5


class PhoneTaken(BadRequest):
    """Клиент с таким телефоном уже есть"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A customer and the opened record, at a version of the stream."""

    customer_id: int
    customer: Customer
    person: Person
    version: int


def subject_of(tenant: str, customer_id: int) -> Subject:
    """Whose key seals the record of a customer."""
    return Subject(tenant, people.subject_id(customer_id))


async def load(context: Context, tenant: str, customer_id: int) -> Loaded:
    """A customer. Raises CustomerUnknown, also for one that was forgotten; Unavailable."""
    history = await context.store.read(tenant, CUSTOMER.stream(customer_id))
    customer = CUSTOMER.state_after(history.events)
    if not customer.exists or customer.person is None:
        raise CustomerUnknown
    opened = await context.vault.open(subject_of(tenant, customer_id), customer.person)
    if (text := text_of(opened)) is None:
        raise CustomerUnknown
    return Loaded(
        customer_id=customer_id,
        customer=customer,
        person=msgspec.json.decode(text, type=Person),
        version=history.version,
    )


async def ensure(
    context: Context,
    phone: str,
    metadata: Metadata,
    *,
    name: str | None = None,
    source: str | None = None,
) -> int:
    """The customer with this phone, registered if there is none. Safe to repeat and in parallel.

    `phone` in any usual spelling. The name of a known customer stays as it is (C6).

    Raises BadPhone, Unavailable.
    """
    phone = people.normal_phone(phone)
    owner = await owner_of(context.store, metadata.tenant, _claim(context, phone))
    if owner is not None:
        return int(owner)
    try:
        return (
            await register(context, Person(phone=phone, name=name), source, metadata)
        ).customer_id
    except PhoneTaken:
        owner = await owner_of(context.store, metadata.tenant, _claim(context, phone))
        if owner is None:
            raise
        return int(owner)


async def register(
    context: Context, person: Person, source: str | None, metadata: Metadata
) -> Loaded:
    """Register a customer. Raises PhoneTaken, Unavailable."""
    customer_id = await NUMBERS.next(context.system)
    command = Register(
        customer_id=customer_id,
        person=await _sealed(context, metadata.tenant, customer_id, person, is_new=True),
        source=source,
        by=metadata.actor or "",
        now=context.clock(),
    )
    claims = {_claim(context, person.phone): ClaimKey(str(customer_id))}
    customer = await _append(
        context, {customer_id: command}, claims, metadata, {customer_id: NO_STREAM}
    )
    return Loaded(customer_id=customer_id, customer=customer[customer_id], person=person, version=1)


async def change(
    context: Context,
    customer_id: int,
    transform: Callable[[Person], Person],
    metadata: Metadata,
    *,
    source: str | None = None,
) -> Loaded:
    """Change a customer's record; `transform` is pure and may run again.

    Raises CustomerUnknown, PhoneTaken, what `transform` raises, VersionConflict, Unavailable.
    """
    for attempt in range(ATTEMPTS):
        loaded = await load(context, metadata.tenant, customer_id)
        person = transform(loaded.person)
        source = loaded.customer.source if source is None else source
        if (person, source) == (loaded.person, loaded.customer.source):
            return loaded
        try:
            return await _replace(context, loaded, person, source, metadata)
        except VersionConflict:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


async def merge(context: Context, keep_id: int, merge_id: int, metadata: Metadata) -> Loaded:
    """Merge a record into another: its orders, addresses and dates are that one's (C12).

    Raises SameCustomer, CustomerUnknown, VersionConflict, Unavailable.
    """
    if keep_id == merge_id:
        raise SameCustomer
    kept = await load(context, metadata.tenant, keep_id)
    other = await load(context, metadata.tenant, merge_id)
    person = people.merged(kept.person, other.person)
    by, now = metadata.actor or "", context.clock()
    absorb = Absorb(
        customer_id=keep_id,
        merged=(*kept.customer.merged, merge_id, *other.customer.merged),
        person=await _sealed(context, metadata.tenant, keep_id, person),
        by=by,
        now=now,
    )
    away = MergeAway(customer_id=merge_id, into=keep_id, by=by, now=now)
    # The other phone leads to the customer that was kept.
    claims = {_claim(context, other.person.phone): MoveKey(str(merge_id), str(keep_id))}
    expected = {keep_id: kept.version, merge_id: other.version}
    states = await _append(context, {keep_id: absorb, merge_id: away}, claims, metadata, expected)
    return Loaded(
        customer_id=keep_id, customer=states[keep_id], person=person, version=kept.version + 1
    )


async def use_address(
    context: Context, customer_id: int, text: str, at: datetime, metadata: Metadata
) -> None:
    """Count an order to an address of a customer. Raises as `change`."""
    new = Address(address_id=await ENTRIES.next(context.system), address=text, created_at=at)
    await change(context, customer_id, lambda one: people.with_used_address(one, new, at), metadata)


async def _replace(
    context: Context, loaded: Loaded, person: Person, source: str | None, metadata: Metadata
) -> Loaded:
    customer_id = loaded.customer_id
    command = Change(
        customer_id=customer_id,
        person=await _sealed(context, metadata.tenant, customer_id, person),
        source=source,
        by=metadata.actor or "",
        now=context.clock(),
    )
    claims: dict[str, ClaimKey | ReleaseKey] = {}
    if person.phone != loaded.person.phone:
        claims = {
            _claim(context, loaded.person.phone): ReleaseKey(str(customer_id)),
            _claim(context, person.phone): ClaimKey(str(customer_id)),
        }
    expected = {customer_id: loaded.version}
    states = await _append(context, {customer_id: command}, claims, metadata, expected)
    return Loaded(
        customer_id=customer_id,
        customer=states[customer_id],
        person=person,
        version=loaded.version + 1,
    )


async def _append(
    context: Context,
    commands: Mapping[int, CustomerCommand],
    claims: Mapping[str, ClaimKey | ReleaseKey | MoveKey],
    metadata: Metadata,
    expected: Mapping[int, int],
) -> Mapping[int, Customer]:
    """Carry out commands of customers and of claims together; the customers after them."""
    aggregates: list[Aggregate] = [(CUSTOMER, number) for number in commands]
    aggregates += [(CLAIM, claim) for claim in claims]
    after: dict[int, Customer] = {}

    def decide(states: States) -> Mapping[str, Any]:
        events: dict[str, Any] = {}
        for number, command in commands.items():
            customer = states.of(CUSTOMER, number)
            events[CUSTOMER.stream(number)] = new = CUSTOMER.decide(customer, command)
            for event in new:
                customer = CUSTOMER.evolve(customer, event)
            after[number] = customer
        for claim, step in claims.items():
            events[CLAIM.stream(claim)] = CLAIM.decide(states.of(CLAIM, claim), step)
        return events

    versions = {CUSTOMER.stream(number): version for number, version in expected.items()}
    try:
        await execute_many(context.store, aggregates, decide, metadata=metadata, expected=versions)
    except Taken:
        raise PhoneTaken from None
    return after


async def _sealed(
    context: Context, tenant: str, customer_id: int, person: Person, *, is_new: bool = False
) -> Sealed:
    text = msgspec.json.encode(person).decode()
    return await context.vault.seal(subject_of(tenant, customer_id), text, is_new=is_new)


def _claim(context: Context, phone: str) -> str:
    return claim_id("phone", phone, digest=context.settings.seal().digest)
