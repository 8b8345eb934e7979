"""Commands of customers: open the sealed record, change it, seal it again, append.

A phone belongs to one customer of a shop: its claim is appended together with the customer's event.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec

from contracts.envelope import Sealed
from libs.errors import BadRequest, Refused, Unavailable
from libs.eventsourcing.claims import (
    CLAIM,
    ClaimCommand,
    ClaimKey,
    MoveKey,
    ReleaseKey,
    Taken,
    claim_id,
    owner_of,
)
from libs.eventsourcing.execute_many import Aggregate, States, execute_many
from libs.eventsourcing.log import Metadata
from libs.files.files import Files
from libs.postgres.pool import tenant_transaction
from libs.postgres.sequences import Sequence
from libs.security.data_keys import DataKey, Receipt, Subject, text_of
from services.shop.context import ApiContext, Context, authorship
from services.shop.customers import read_models
from services.shop.customers.domain import person as people
from services.shop.customers.domain.customer import (
    CUSTOMER,
    Absorb,
    Change,
    Customer,
    CustomerCommand,
    Forget,
    MergeAway,
    Register,
    SameCustomer,
)
from services.shop.customers.domain.person import Address, CustomerUnknown, Person

NUMBERS: Final = Sequence("customer_number")
ENTRIES: Final = Sequence("customer_entry")
"""The ids of addresses and of important dates."""
ATTEMPTS: Final = 5

Commands: TypeAlias = tuple[Mapping[int, CustomerCommand], Mapping[str, ClaimCommand]]
"""Commands by customer, and those of claims by phone."""
Plan: TypeAlias = Callable[[States], Commands]
"""What to do in view of the customers' present states. Pure: it may be called several times."""


class PhoneTaken(BadRequest):
    """Клиент с таким телефоном уже есть"""


class OrdersOpen(Refused):
    """У клиента есть незавершённые заказы"""

    def __init__(self, orders: Collection[int]) -> None:
        numbers = ", ".join(map(str, sorted(orders)))
        super().__init__(f"У клиента есть незавершённые заказы: {numbers}")


class _ClaimsNeeded(Exception):
    """The plan has commands for claims that were not loaded."""

    def __init__(self, phones: Collection[str]) -> None:
        super().__init__()
        self.phones = phones


async def load(context: Context, tenant: str, customer_id: int) -> Person:
    """A customer's record. Raises CustomerUnknown, also if it was forgotten; Unavailable."""
    customer = await _state(context, tenant, customer_id)
    return _person(customer, await _key(context, tenant, customer_id))


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
    claim = _claim(context, phone)
    if (owner := await owner_of(context.store, metadata.tenant, claim)) is not None:
        return int(owner)
    try:
        return await register(context, Person(phone=phone, name=name), source, metadata)
    except PhoneTaken:
        if (owner := await owner_of(context.store, metadata.tenant, claim)) is None:
            raise
        return int(owner)


async def register(context: Context, person: Person, source: str | None, metadata: Metadata) -> int:
    """Register a customer, and return the id. Raises PhoneTaken, Unavailable."""
    customer_id = await NUMBERS.next(context.system)
    key = await context.vault.key_for(subject_of(metadata.tenant, customer_id), is_new=True)
    command = Register(
        customer_id=customer_id,
        person=_sealed(key, person),
        source=source,
        **authorship(context, metadata),
    )
    claims: Mapping[str, ClaimCommand] = {person.phone: ClaimKey(str(customer_id))}
    commands = {customer_id: command}, claims
    await _execute(context, [customer_id], lambda _: commands, metadata, claims)
    return customer_id


async def change(
    context: Context,
    customer_id: int,
    edit: Callable[[Person], Person],
    metadata: Metadata,
    *,
    source: str | None = None,
) -> None:
    """Change a customer's record; `edit` is pure, and called with the present record.

    Raises CustomerUnknown, PhoneTaken, what `edit` raises, Unavailable.
    """
    key = await _key(context, metadata.tenant, customer_id)
    author = authorship(context, metadata)

    def plan(states: States) -> Commands:
        person = _person(states.of(CUSTOMER, customer_id), key)
        edited = edit(person)
        sealed = None if edited == person else _sealed(key, edited)
        command = Change(customer_id=customer_id, person=sealed, source=source, **author)
        claims: dict[str, ClaimCommand] = {}
        if edited.phone != person.phone:
            claims[person.phone] = ReleaseKey(str(customer_id))
            claims[edited.phone] = ClaimKey(str(customer_id))
        return {customer_id: command}, claims

    await _execute(context, [customer_id], plan, metadata)


async def merge(context: Context, keep_id: int, merge_id: int, metadata: Metadata) -> None:
    """Merge a record into another: its orders, addresses and dates are that one's (C12).

    Its phones lead to that one, too. Raises SameCustomer, CustomerUnknown, Unavailable.
    """
    if keep_id == merge_id:
        raise SameCustomer
    key, other_key = [await _key(context, metadata.tenant, one) for one in (keep_id, merge_id)]
    author = authorship(context, metadata)

    def plan(states: States) -> Commands:
        kept, other = states.of(CUSTOMER, keep_id), states.of(CUSTOMER, merge_id)
        person, added = _person(kept, key), _person(other, other_key)
        absorb = Absorb(
            customer_id=keep_id,
            merged=(merge_id, *other.merged),
            person=_sealed(key, people.merged(person, added)),
            **author,
        )
        away = MergeAway(customer_id=merge_id, into=keep_id, **author)
        move = MoveKey(str(merge_id), str(keep_id))
        return {keep_id: absorb, merge_id: away}, dict.fromkeys(added.phones, move)

    await _execute(context, [keep_id, merge_id], plan, metadata)


async def use_address(
    context: Context, customer_id: int, text: str, at: datetime, metadata: Metadata
) -> None:
    """Count an order to an address of a customer. Raises as `change`."""
    new = Address(address_id=await ENTRIES.next(context.system), address=text, created_at=at)
    await change(context, customer_id, lambda one: people.with_used_address(one, new, at), metadata)


async def forget(context: ApiContext, customer_id: int, metadata: Metadata) -> list[Receipt]:
    """Forget a person: destroy the keys of the customer, of records merged into it, of its orders.

    The phones can be registered again. Safe to repeat, which also forgets an order that was placed
    at the same time; after a crash in between the reaction completes it. Raises CustomerUnknown,
    OrdersOpen, Unavailable.
    """
    tenant = metadata.tenant
    key = await _key(context, tenant, customer_id)
    customer = await _state(context, tenant, customer_id)
    if not customer.is_known:
        raise CustomerUnknown
    merged = customer.merged
    if not await context.consistency.caught_up("customer", tenant):
        raise Unavailable("customer")
    async with tenant_transaction(context.reading, tenant) as connection:
        orders = await read_models.orders_of(connection, [customer_id, *merged])
    if unfinished := [order_id for order_id, is_open in orders.items() if is_open]:
        raise OrdersOpen(unfinished)
    command = Forget(
        customer_id=customer_id, orders=frozenset(orders), **authorship(context, metadata)
    )

    def plan(states: States) -> Commands:
        customer = states.of(CUSTOMER, customer_id)
        if customer.merged != merged:
            raise Unavailable("customer")
        person = _decoded(customer.person, key)
        release = ReleaseKey(str(customer_id))
        return {customer_id: command}, dict.fromkeys(person.phones if person else (), release)

    await _execute(context, [customer_id], plan, metadata)
    return await destroy(context, context.files, [customer_id, *merged], orders, metadata)


async def destroy(
    context: Context,
    files: Files,
    customers: Iterable[int],
    orders: Iterable[int],
    metadata: Metadata,
) -> list[Receipt]:
    """Destroy the keys of customers and orders, then delete the files that they sealed.

    Safe to repeat. Raises Unavailable.
    """
    tenant = metadata.tenant
    subjects = [subject_of(tenant, number) for number in customers]
    subjects += [Subject(tenant, f"order-{number}") for number in orders]
    by = metadata.actor or ""
    receipts = await context.vault.forget_all(subjects, by=by, at=context.clock())
    for subject in subjects:
        await files.remove_sealed_for(tenant, subject.id)
    return receipts


def subject_of(tenant: str, customer_id: int) -> Subject:
    """Whose key seals the record of a customer."""
    return Subject(tenant, people.subject_id(customer_id))


async def _execute(
    context: Context,
    customers: Collection[int],
    plan: Plan,
    metadata: Metadata,
    phones: Collection[str] = (),
) -> None:
    """Append the events of a plan: all or nothing. Raises as `execute_many`, and PhoneTaken.

    `phones` are those of claims that it changes, as far as they are known before.
    """
    for _ in range(ATTEMPTS):
        claims = {phone: _claim(context, phone) for phone in phones}
        aggregates: list[Aggregate] = [(CUSTOMER, number) for number in customers]
        aggregates += [(CLAIM, claim) for claim in claims.values()]
        try:
            await execute_many(
                context.store, aggregates, partial(_decide, plan, claims), metadata=metadata
            )
        except _ClaimsNeeded as needed:
            phones = needed.phones
        except Taken:
            raise PhoneTaken from None
        else:
            return
    raise Unavailable("customer")


def _decide(plan: Plan, claims: Mapping[str, str], states: States) -> Mapping[str, Any]:
    commands, steps = plan(states)
    if not steps.keys() <= claims.keys():
        raise _ClaimsNeeded(steps)
    events: dict[str, Any] = {
        CUSTOMER.stream(number): CUSTOMER.decide(states.of(CUSTOMER, number), command)
        for number, command in commands.items()
    }
    for phone, step in steps.items():
        claim = claims[phone]
        events[CLAIM.stream(claim)] = CLAIM.decide(states.of(CLAIM, claim), step)
    return events


async def _state(context: Context, tenant: str, customer_id: int) -> Customer:
    history = await context.store.read(tenant, CUSTOMER.stream(customer_id))
    return CUSTOMER.state_after(history.events)


async def _key(context: Context, tenant: str, customer_id: int) -> DataKey:
    subject = subject_of(tenant, customer_id)
    return (await context.vault.keys_of([subject]))[subject]


def _person(customer: Customer, key: DataKey) -> Person:
    """The record in the clear. Raises CustomerUnknown, also if it was erased."""
    if (person := _decoded(customer.record, key)) is None:
        raise CustomerUnknown
    return person


def _decoded(sealed: Sealed | None, key: DataKey) -> Person | None:
    text = text_of(key.open(sealed))
    return None if text is None else msgspec.json.decode(text, type=Person)


def _sealed(key: DataKey, person: Person) -> Sealed:
    return key.seal(msgspec.json.encode(person).decode())


def _claim(context: Context, phone: str) -> str:
    return claim_id("phone", phone, digest=context.settings.seal().digest)
