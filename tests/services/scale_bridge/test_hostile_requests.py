"""Nothing that a request may hold in its head, its address or its body breaks a route."""

import random

from libs.testing.callers import bearer
from libs.testing.hostile import RawHeaders, assert_no_request_breaks, inputs_of
from services.scale_bridge.bootstrap import SERVICE
from tests.services.scale_bridge.service import ANNA, open_service, register

SCOPES = (("scales:read", "scales:write"), ("scales:bridge",))


async def test_no_request_breaks_a_route(database: str) -> None:
    async with (
        open_service(database, answer_seconds=0.05) as service,
        service.client() as anna,
    ):
        number = await register(anna, "cheese")
        shown = [
            bearer(SERVICE.name, subject=str(ANNA), scopes=scopes)["Authorization"].encode()
            for scopes in SCOPES
        ]

        def credentials(chance: random.Random) -> RawHeaders:
            return [(b"authorization", chance.choice(shown))]

        routes = inputs_of(service.app)
        assert len(routes) > 40
        # Nobody executes what is asked of a scale here.
        tried = await assert_no_request_breaks(
            service.app, routes, credentials, per_route=40, ids=[str(number)], allowed=[504]
        )
        assert tried > 80
