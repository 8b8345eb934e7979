"""A device is registered once, changes as a whole, and is gone for good."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from contracts.scale_bridge import DeviceChanged, DeviceRegistered, DeviceRemoved
from libs.eventsourcing.testing import Scenario
from services.scale_bridge.domain.device import (
    DEVICE,
    Change,
    Details,
    DeviceKnown,
    DeviceUnknown,
    Register,
    Remove,
    device_id_of,
    moves,
)

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
ID = device_id_of(7)
OWNER = UUID(int=1)
DETAILS = Details(
    name="cheese", description="", ip="10.0.0.5", port=1111, protocol="TCP", password="sealed"
)
REGISTERED = DeviceRegistered(
    device_id=ID,
    number=7,
    owner=OWNER,
    name="cheese",
    description="",
    ip="10.0.0.5",
    port=1111,
    protocol="TCP",
    password="sealed",
    bridge=None,
    registered_at=NOW,
)
REGISTER = Register(device_id=ID, number=7, owner=OWNER, details=DETAILS, now=NOW)
REMOVED = DeviceRemoved(device_id=ID, removed_at=NOW)


def test_a_device_is_registered_once() -> None:
    Scenario(DEVICE).when(REGISTER).then(REGISTERED)
    Scenario(DEVICE).given(REGISTERED).when(REGISTER).then_refused(DeviceKnown)


def test_a_change_says_all_of_what_is_then() -> None:
    after = replace(DETAILS, name="meat", port=1112)

    Scenario(DEVICE).given(REGISTERED).when(Change(device_id=ID, details=after, now=NOW)).then(
        DeviceChanged(
            device_id=ID,
            name="meat",
            description="",
            ip="10.0.0.5",
            port=1112,
            protocol="TCP",
            password="sealed",
            bridge=None,
            changed_at=NOW,
        )
    )


def test_what_is_the_same_is_no_change() -> None:
    same = Change(device_id=ID, details=DETAILS, now=NOW)

    Scenario(DEVICE).given(REGISTERED).when(same).then_nothing()


def test_a_device_is_removed_for_good() -> None:
    remove, change = Remove(device_id=ID, now=NOW), Change(device_id=ID, details=DETAILS, now=NOW)

    Scenario(DEVICE).given(REGISTERED).when(remove).then(REMOVED)
    Scenario(DEVICE).given(REGISTERED, REMOVED).when(remove).then_nothing()
    Scenario(DEVICE).given(REGISTERED, REMOVED).when(change).then_refused(DeviceUnknown)
    Scenario(DEVICE).when(remove).then_refused(DeviceUnknown)


def test_only_another_address_makes_another_scale_of_it() -> None:
    """(R9)"""
    assert moves(DETAILS, replace(DETAILS, ip="10.0.0.6"))
    assert moves(DETAILS, replace(DETAILS, port=1112))
    assert not moves(DETAILS, replace(DETAILS, name="meat", password="other", description="x"))
