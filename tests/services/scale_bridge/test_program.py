"""The service as it is run: a program that serves and works, over a real broker."""

import asyncio
import os
import sys
from dataclasses import replace
from typing import Any
from uuid import uuid4

from deploy.local.ports import free_port
from deploy.local.services import says_ready
from libs.http.auth import TokenVerifier
from libs.messaging.topics import ensure_topics, read_topics
from libs.messaging.worker import open_worker
from libs.telemetry.traces import set_up
from services.scale_bridge import bootstrap
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    KEY,
    SEAL_KEY,
    at_work,
    dirty,
    eventually,
    fetched,
    inside,
    patch,
    registered,
)


async def test_what_was_just_done_is_listed_at_once(database: str, kafka_bootstrap: str) -> None:
    """(R24) Read models come over Kafka, and whoever changed something waits for them (§1.4)."""
    prefix = f"t{uuid4().hex[:12]}"
    await ensure_topics(kafka_bootstrap, prefix, read_topics())
    different: dict[str, Any] = {
        "kafka_bootstrap_servers": kafka_bootstrap,
        "topic_prefix": prefix,
        "stale_wait_seconds": 15.0,
    }
    async with a_scale(5) as scale, inside(database, **different) as made:
        settings, telemetry = made.settings, set_up(bootstrap.SERVICE)
        async with (
            open_worker(
                settings,
                service=bootstrap.SERVICE,
                projections=bootstrap.projections(settings),
                telemetry=telemetry,
            ) as worker,
            bootstrap.open_deps(settings, telemetry) as opened,
            at_work(settings),
        ):
            verifier = TokenVerifier(
                audience=bootstrap.SERVICE, issuer=settings.issuer, keys={KEY.kid: KEY.public}
            )
            made.app = bootstrap.create_app(replace(opened, verifier=verifier))
            stop = asyncio.Event()
            running = [asyncio.ensure_future(task(stop)) for task in worker.tasks]
            try:
                async with made.client() as anna:
                    number = await registered(anna, scale)
                    assert await dirty(anna, number) is False
                    await fetched(anna, number)
                    assert await dirty(anna, number) is False
                    await patch(anna, number, 2, price=7.0)
                    assert await dirty(anna, number) is True
                    assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
                    assert await dirty(anna, number) is False
                    history = (await anna.get(f"/devices/{number}/operations")).json()
                    assert [one["outcome"] for one in history] == ["verified", "done"]
            finally:
                stop.set()
                await asyncio.gather(*running)
        assert scale.base.products[1]["price"] == 7.0


async def test_the_program_gets_ready_and_stops_when_it_is_told(
    empty_database: str, kafka_bootstrap: str
) -> None:
    prefix, port = f"t{uuid4().hex[:12]}", free_port()
    await ensure_topics(kafka_bootstrap, prefix, read_topics())
    told = {
        "DATABASE_URL": empty_database,
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "TILLSTREAM_TOPIC_PREFIX": prefix,
        "TILLSTREAM_PROFILE": "demo",
        "SCALE_BRIDGE_JWKS_URL": "http://127.0.0.1:1/jwks",
        "SCALE_BRIDGE_SEAL_KEYS": SEAL_KEY,
        "SCALE_BRIDGE_HTTP_PORT": str(port),
    }
    program = [sys.executable, "-m", "services.scale_bridge"]
    migrating = await asyncio.create_subprocess_exec(*program, "migrate", env=os.environ | told)
    assert await migrating.wait() == 0
    running = await asyncio.create_subprocess_exec(*program, "run", env=os.environ | told)
    try:
        await eventually(lambda: asyncio.to_thread(says_ready, port), seconds=90)
    finally:
        running.terminate()
    assert await running.wait() == 0
