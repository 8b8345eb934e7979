"""One trace leads from the gateway's request to the commit that made the scan visible."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from deploy.local import keys
from libs.messaging.topics import ensure_topics, read_topics
from libs.messaging.worker import open_worker
from libs.postgres.migrate import migrate
from libs.process.lifecycle import serve
from libs.telemetry.traces import set_up
from services.gateway import bootstrap as gateway
from services.gateway.settings import Settings as GatewaySettings
from services.ingest import bootstrap as ingest
from services.ingest.settings import Settings as IngestSettings

KEY = "a-key-of-the-scanners-that-is-long-enough"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(
    service: Any, settings: Any, port: int, exporter: InMemorySpanExporter
) -> AsyncIterator[None]:
    """A service as `run` has it: its API and its worker, spans going to `exporter`."""
    telemetry = set_up(service.SERVICE, exporter=exporter)
    stop, listening = asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(
            open_worker(
                settings,
                service=service.SERVICE,
                projections=service.projections(settings),
                telemetry=telemetry,
            )
        )
        app = await stack.enter_async_context(service.open_app(settings, telemetry, worker.checks))
        http = serve(app, "127.0.0.1", port, stop=stop, listening=lambda _: listening.set())
        tasks = [asyncio.ensure_future(one) for one in (http, *(t(stop) for t in worker.tasks))]
        await listening.wait()
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)
    telemetry.close()


@pytest.fixture
async def house(
    database: str, kafka_bootstrap: str, tmp_path: Path
) -> AsyncIterator[tuple[str, InMemorySpanExporter]]:
    """Gateway and ingest over real HTTP, Postgres and Kafka; the gateway's address, the spans."""
    for service in ("ingest", "gateway"):
        migrate(service, database)
    prefix, exporter = f"t{uuid4().hex[:12]}", InMemorySpanExporter()
    await ensure_topics(kafka_bootstrap, prefix, read_topics())
    ports = {"gateway": free_port(), "ingest": free_port()}
    shared = {
        "DATABASE_URL": database,
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "TILLSTREAM_TOPIC_PREFIX": prefix,
        "TILLSTREAM_PROFILE": "demo",
        "GATEWAY_INGEST_URL": f"http://127.0.0.1:{ports['ingest']}",
        "GATEWAY_SIGNING_KEY_FILE": str(keys.signing_key(tmp_path, "signing_key.pem")),
        "GATEWAY_SEAL_KEYS_FILE": str(keys.sealing_key(tmp_path, "seal_keys")),
        "GATEWAY_REFRESH_KEY_FILE": str(keys.sealing_key(tmp_path, "refresh_key")),
        "GATEWAY_SCAN_CLIENT_KEY": KEY,
        "INGEST_JWKS_URL": f"http://127.0.0.1:{ports['gateway']}/.well-known/jwks.json",
    }
    ingest_settings = IngestSettings.from_env("INGEST", shared)
    gateway_settings = GatewaySettings.from_env("GATEWAY", shared)
    async with (
        running(ingest, ingest_settings, ports["ingest"], exporter),
        running(gateway, gateway_settings, ports["gateway"], exporter),
    ):
        yield f"http://127.0.0.1:{ports['gateway']}", exporter


def named(spans: Sequence[ReadableSpan], name: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


def ancestors(span: ReadableSpan, spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    """The spans above `span`, the nearest first."""
    by_id = {one.context.span_id: one for one in spans if one.context}
    above = by_id.get(span.parent.span_id) if span.parent else None
    return [above, *ancestors(above, spans)] if above else []


async def post_until_accepted(url: str, batch: dict[str, Any]) -> None:
    """The key opens the door as soon as the gateway's own projector has seen it."""
    async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as client:
        async with asyncio.timeout(30):
            while True:
                async with client.post(f"{url}/api/v1/events/batch", json=batch) as answer:
                    if answer.status == 200:
                        return
                await asyncio.sleep(0.1)


async def test_one_trace_from_the_request_to_the_read_model(
    house: tuple[str, InMemorySpanExporter],
) -> None:
    url, exporter = house
    scan = {"uuid": str(uuid4()), "ts": 1_761_900_000_000, "type": "ITEM", "operator": "anna"}

    await post_until_accepted(url, {"events": [scan]})
    async with asyncio.timeout(30):
        while not named(exporter.get_finished_spans(), "project activity"):
            await asyncio.sleep(0.05)

    spans = exporter.get_finished_spans()
    (projected,) = named(spans, "project activity")
    above = ancestors(projected, spans)
    services = [span.resource.attributes["service.name"] for span in above]
    assert services[0] == "ingest"
    assert services[-1] == "gateway"
    assert above[-1].parent is None
    assert {span.context.trace_id for span in (projected, *above) if span.context} == {
        projected.context.trace_id if projected.context else 0
    }
