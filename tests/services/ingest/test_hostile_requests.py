"""No header, path or body of a request breaks a route."""

import random

from libs.testing.hostile import RawHeaders, assert_no_request_breaks, inputs_of
from tests.services.ingest.history import event, uuid
from tests.services.ingest.service import Service


async def test_no_request_breaks_a_route(ingest: Service) -> None:
    await ingest.send(event(1), event(2, code=7))
    callers = [ingest.device, ingest.viewer, ingest.mender]
    tokens = [client.headers["authorization"].encode() for client in callers]

    def credentials(chance: random.Random) -> RawHeaders:
        return [(b"authorization", chance.choice(tokens))]

    routes = inputs_of(ingest.app)
    assert len(routes) > 25
    requests = await assert_no_request_breaks(
        ingest.app, routes, credentials, per_route=60, ids=[uuid(1)]
    )
    assert requests > 60
