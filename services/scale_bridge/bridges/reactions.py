"""Reacts to enrolments at the gateway: an agent belongs to the account that enrolled it."""

from typing import Final

from contracts import gateway
from contracts.envelope import Envelope
from contracts.gateway import DeviceEnrolled, GatewayEvent
from libs.eventsourcing.codec import codec_of
from libs.messaging.reaction import Reaction, Schedule
from libs.projections.projection import Connection
from services.scale_bridge.bridges.adapters.login import CLIENT_ID
from services.scale_bridge.bridges.stores import bridges

NAME: Final = "enrolment"


def enrolments() -> Reaction[GatewayEvent]:
    """Store the account that enrolled an agent: the agent drives only that account's scales."""

    async def react(connection: Connection, envelope: Envelope[GatewayEvent]) -> None:
        enrolled = envelope.event
        if isinstance(enrolled, DeviceEnrolled):
            await bridges.set_owner(
                connection, enrolled.tenant, enrolled.account_id, enrolled.enrolled_by
            )

    return Reaction(
        name=NAME,
        topics=(gateway.ACCESS,),
        codec=codec_of(gateway.EVENTS),
        schedule_of=_schedule_of,
        react_in_transaction=react,
    )


def _schedule_of(event: GatewayEvent) -> Schedule | None:
    match event:
        case DeviceEnrolled(client=client) if client == CLIENT_ID:
            return Schedule(f"bridge {event.account_id}", event.enrolled_at)
        case _:
            return None
