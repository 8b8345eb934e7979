"""The crm's health route: JSON instead of Prometheus text."""

from typing import Any

from fastapi import APIRouter, Depends, Response
from fastapi.routing import APIRoute
from starlette.routing import Match

from libs.http.auth import public
from services.gateway.accounts.domain.realm import Realm
from services.gateway.context import Gateway
from services.gateway.doors.api.local_routes import door_of
from services.gateway.doors.api.system import database_answers
from services.gateway.doors.domain.door import Limit


class CrmRoute(APIRoute):
    """A route of the crm's door only."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        """See `BaseRoute`."""
        if door_of(scope) != Realm.CRM:
            return Match.NONE, {}
        return super().matches(scope)


router = APIRouter(tags=["crm"], dependencies=[Depends(public)], route_class=CrmRoute)


@router.get("/metrics")
async def metrics(gateway: Gateway, response: Response) -> dict[str, Any]:
    """The state of what the crm depends on (spec crm §12); 503 without the database.

    `redis` is the store that several gateways count requests in, `disconnected` if there is none or
    it does not answer. `queue_length` is null: there is no queue of reports yet.
    """
    well = await database_answers(gateway)
    if not well:
        response.status_code = 503
    return {
        "status": "ok" if well else "error",
        "database": _connected(well),
        "redis": _connected(await gateway.limits.storage_answers()),
        "queue_length": None,
        "rate_limit_enabled": gateway.limits.counts(Limit.LOGIN),
    }


def _connected(answers: bool) -> str:
    return "connected" if answers else "disconnected"
