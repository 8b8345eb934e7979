"""What the scale bridge does when the gateway lets a daemon in: it learns whose the daemon is."""

from typing import Final

from contracts import gateway
from contracts.envelope import Envelope
from contracts.gateway import DeviceEnrolled, GatewayEvent
from libs.eventsourcing.codec import codec_of
from libs.messaging.reaction import Reaction, Turn
from services.scale_bridge.adapters import bridges
from services.scale_bridge.adapters.bridge_login import CLIENT_ID
from services.scale_bridge.handlers.desk import Desk

NAME: Final = "enrolment"


def enrolments(desk: Desk) -> Reaction[GatewayEvent]:
    """Keep who let a daemon in: it reaches that one's scales and nobody else's."""

    async def react(envelope: Envelope[GatewayEvent]) -> None:
        enrolled = envelope.event
        if isinstance(enrolled, DeviceEnrolled):
            await bridges.enrolled(
                desk.pool, enrolled.tenant, enrolled.account_id, enrolled.enrolled_by
            )

    return Reaction(
        name=NAME,
        topics=(gateway.ACCESS,),
        codec=codec_of(gateway.EVENTS),
        turn_of=_turn_of,
        react=react,
    )


def _turn_of(event: GatewayEvent) -> Turn | None:
    match event:
        case DeviceEnrolled(client=client) if client == CLIENT_ID:
            return Turn(f"bridge {event.account_id}", event.enrolled_at)
        case _:
            return None
