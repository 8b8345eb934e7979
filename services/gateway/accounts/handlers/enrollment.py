"""The accounts that enrolled devices, from the facts of enrolment."""

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID, uuid5

from contracts.gateway import AccountId, DeviceEnrolled, DeviceRefused
from services.gateway.accounts.handlers.identity import Identity

DEVICE_FACTS: Final = UUID("c1d3e8f4-2b60-5f0a-9c0e-77b0a5f1d2e6")
"""The namespace of the ids of facts about devices."""


async def enrollers(
    identity: Identity, devices: Collection[AccountId]
) -> Mapping[AccountId, AccountId]:
    """The account that enrolled each of these devices; devices without one are left out.

    Raises LogUnavailable.
    """
    recorded = await identity.store.log.find([fact_id(one, DeviceEnrolled) for one in devices])
    events = [identity.store.decode(one) for one in recorded.values()]
    return {one.account_id: one.enrolled_by for one in events if isinstance(one, DeviceEnrolled)}


def fact_id(device: AccountId, kind: type[DeviceEnrolled | DeviceRefused]) -> UUID:
    """The id of the fact of this kind about a device. A device has one of each at most."""
    return uuid5(DEVICE_FACTS, f"{device} {kind.__name__}")
