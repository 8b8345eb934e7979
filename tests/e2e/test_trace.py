"""One trace leads from the gateway's request to the commit that made the scan visible."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs.messaging.worker import open_worker
from libs.process.lifecycle import serve
from libs.process.service import Service, open_app
from libs.telemetry.traces import set_up
from libs.testing.polling import eventually
from services.gateway.bootstrap import SERVICE as GATEWAY
from services.gateway.settings import Settings as GatewaySettings
from services.ingest.bootstrap import SERVICE as INGEST
from services.ingest.settings import Settings as IngestSettings
from tests.e2e.house import House, new_house
from tests.e2e.scans import scan, send


@asynccontextmanager
async def running(
    service: Service[Any], settings: Any, exporter: InMemorySpanExporter
) -> AsyncIterator[None]:
    """A service as `run` has it: its API and its worker, spans going to `exporter`."""
    telemetry = set_up(service.name, exporter=exporter)
    stop, listening = asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(
            open_worker(
                settings,
                service=service.name,
                projections=service.projections(settings),
                telemetry=telemetry,
            )
        )
        app = await stack.enter_async_context(open_app(service, settings, telemetry, worker.checks))
        http = serve(
            app,
            "127.0.0.1",
            settings.http_port,
            stop=stop,
            on_listening=lambda _: listening.set(),
        )
        tasks = [asyncio.ensure_future(one) for one in (http, *(t(stop) for t in worker.tasks))]
        await listening.wait()
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)
    telemetry.close()


@pytest.fixture
def prepared(database: str, kafka_bootstrap: str, tmp_path: Path) -> House:
    """Tables, topics, keys and addresses; nothing runs."""
    return new_house(tmp_path, database, kafka_bootstrap)


def named(spans: Sequence[ReadableSpan], name: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


def ancestors(span: ReadableSpan, spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    """The spans above `span`, the nearest first."""
    by_id = {one.context.span_id: one for one in spans if one.context}
    above = by_id.get(span.parent.span_id) if span.parent else None
    return [above, *ancestors(above, spans)] if above else []


async def test_one_trace_from_the_request_to_the_read_model(prepared: House) -> None:
    exporter, env = InMemorySpanExporter(), prepared.environment
    async with (
        running(INGEST, IngestSettings.from_env("INGEST", env), exporter),
        running(GATEWAY, GatewaySettings.from_env("GATEWAY", env), exporter),
        prepared.client_with(prepared.key) as client,
    ):
        await send(client, scan())
        (projected,) = await eventually(
            lambda: named(exporter.get_finished_spans(), "project activity")
        )

    spans = exporter.get_finished_spans()
    above = ancestors(projected, spans)
    services = [span.resource.attributes["service.name"] for span in above]
    assert services[0] == "ingest"
    assert services[-1] == "gateway"
    assert above[-1].parent is None
    assert {span.context.trace_id for span in (projected, *above) if span.context} == {
        projected.context.trace_id if projected.context else 0
    }
