"""A key has at most one owner, however many claim it at once."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from contracts.claims import ClaimEvent, KeyClaimed, KeyReleased
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
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.decider import Decider
from libs.eventsourcing.execute_many import States, execute_many
from libs.eventsourcing.log import EventIdReused, Log, Metadata
from libs.eventsourcing.store import EventStore, ExecutedMany
from libs.eventsourcing.testing import Scenario
from libs.security.sealing import Seal
from tests.libs.eventsourcing.events import everything

SCENARIO: Scenario[str | None, ClaimCommand, ClaimEvent] = Scenario(CLAIM)
PHONE = claim_id("phone", "+77001234567")


def test_a_free_key_is_claimed_and_a_repeat_changes_nothing() -> None:
    SCENARIO.when(ClaimKey("anna")).then(KeyClaimed(owner="anna"))
    owned = SCENARIO.given(KeyClaimed(owner="anna"))
    owned.when(ClaimKey("anna")).then_nothing()
    owned.when(ClaimKey("boris")).then_refused(Taken)


def test_a_refusal_names_the_owner() -> None:
    with pytest.raises(Taken) as refused:
        CLAIM.decide("anna", ClaimKey("boris"))

    assert refused.value.owner == "anna"


def test_only_its_owner_releases_a_key_which_is_free_then() -> None:
    owned = SCENARIO.given(KeyClaimed(owner="anna"))
    owned.when(ReleaseKey("boris")).then_nothing()
    owned.when(ReleaseKey("anna")).then(KeyReleased(owner="anna"))
    released = owned.given(KeyReleased(owner="anna"))
    released.when(ReleaseKey("anna")).then_nothing()
    released.when(ClaimKey("boris")).then(KeyClaimed(owner="boris"))


def test_a_key_moves_from_its_owner_to_another_at_once() -> None:
    owned = SCENARIO.given(KeyClaimed(owner="anna"))
    owned.when(MoveKey("anna", to="boris")).then(
        KeyReleased(owner="anna"), KeyClaimed(owner="boris")
    )
    owned.when(MoveKey("boris", to="anna")).then_nothing()
    owned.when(MoveKey("anna", to="anna")).then_nothing()
    owned.when(MoveKey("boris", to="clara")).then_refused(Taken)
    SCENARIO.when(MoveKey("anna", to="boris")).then(KeyClaimed(owner="boris"))


def test_claims_of_other_keys_and_kinds_and_digests_are_others() -> None:
    seal, other = (Seal([urlsafe_b64encode(bytes([n] * 32)).decode()]) for n in range(2))
    ids = [
        PHONE,
        claim_id("phone", "+77001234568"),
        claim_id("sku", "+77001234567"),
        claim_id("phone", "+77001234567", digest=seal.digest),
        claim_id("phone", "+77001234567", digest=other.digest),
    ]

    assert len({*ids}) == len(ids)
    assert claim_id("phone", "+77001234567") == PHONE
    assert claim_id("phone", "+77001234567", digest=seal.digest) == ids[3]
    assert not any("7001234" in one for one in ids)
    assert {one.partition("-")[0] for one in map(CLAIM.stream, ids)} == {"claim"}


@dataclass(frozen=True, slots=True)
class Registered:
    name: str


CustomerEvent = Registered | KeyClaimed | KeyReleased
CUSTOMER: Decider[str, str, Registered] = Decider(
    category="customer",
    initial="",
    decide=lambda known, name: [] if name == known else [Registered(name)],
    evolve=lambda _, event: event.name,
)


@pytest.fixture
def store(log: Log) -> EventStore[CustomerEvent]:
    return EventStore(log, Codec([Registered, KeyClaimed, KeyReleased]))


async def register(
    store: EventStore[CustomerEvent],
    customer: str,
    *,
    tenant: str = "demo",
    phone: str = PHONE,
    command_id: UUID | None = None,
) -> ExecutedMany[CustomerEvent]:
    def decide(states: States) -> Mapping[str, Sequence[CustomerEvent]]:
        return {
            CUSTOMER.stream(customer): CUSTOMER.decide(states.of(CUSTOMER, customer), customer),
            CLAIM.stream(phone): CLAIM.decide(states.of(CLAIM, phone), ClaimKey(customer)),
        }

    return await execute_many(
        store,
        [(CUSTOMER, customer), (CLAIM, phone)],
        decide,
        metadata=Metadata(tenant=tenant),
        command_id=command_id,
    )


async def test_of_many_that_claim_a_key_at_once_one_is_registered(
    store: EventStore[CustomerEvent], log: Log
) -> None:
    processes = [store, *(EventStore[CustomerEvent](log, store.codec) for _ in range(3))]
    registering = (
        register(process, f"{number}-{name}")
        for number, process in enumerate(processes)
        for name in "abcdefgh"
    )

    outcomes = await asyncio.gather(*registering, return_exceptions=True)

    assert [type(one) for one in outcomes].count(Taken) == 31
    (winner,) = (one for one in outcomes if isinstance(one, ExecutedMany))
    owner = await owner_of(store, "demo", PHONE)
    assert winner.events[CLAIM.stream(PHONE)] == [KeyClaimed(owner=owner or "")]
    assert len(await everything(log)) == 2


async def test_a_key_is_claimed_once_by_the_same_owner_and_in_each_tenant(
    store: EventStore[CustomerEvent],
) -> None:
    command_id = uuid4()
    first = await register(store, "anna", command_id=command_id)

    assert await register(store, "anna", command_id=command_id) == first
    assert (await register(store, "anna")).events == {}
    await register(store, "boris", tenant="other")

    assert await owner_of(store, "demo", PHONE) == "anna"
    assert await owner_of(store, "other", PHONE) == "boris"
    assert await owner_of(store, "third", PHONE) is None


async def test_a_command_id_of_another_tenant_is_refused_and_changes_no_state(
    store: EventStore[CustomerEvent],
) -> None:
    command_id = uuid4()
    await register(store, "anna", command_id=command_id)

    with pytest.raises(EventIdReused):
        await register(store, "anna", tenant="other", command_id=command_id)

    await register(store, "boris", tenant="other")
    assert await owner_of(store, "other", PHONE) == "boris"


async def test_a_key_moves_together_with_the_events_of_its_owners(
    store: EventStore[CustomerEvent],
) -> None:
    await register(store, "anna")

    await execute_many(
        store,
        [(CUSTOMER, "boris"), (CLAIM, PHONE)],
        lambda states: {
            "customer-boris": [Registered("boris")],
            CLAIM.stream(PHONE): CLAIM.decide(states.of(CLAIM, PHONE), MoveKey("anna", to="boris")),
        },
        metadata=Metadata(tenant="demo"),
    )

    assert await owner_of(store, "demo", PHONE) == "boris"
    with pytest.raises(Taken):
        await register(store, "anna")
