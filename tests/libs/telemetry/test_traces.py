"""Trace context, with and without a collector."""

import asyncio
import http.server
import threading

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from libs.telemetry import traces
from libs.telemetry.traces import current_traceparent
from libs.testing.polling import PATIENCE_SECONDS

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(exporter: InMemorySpanExporter) -> traces.Telemetry:
    return traces.set_up("ingest", exporter=exporter)


def test_spans_of_two_services_make_one_trace_through_traceparent(
    exporter: InMemorySpanExporter, telemetry: traces.Telemetry
) -> None:
    gateway, ingest = traces.set_up("gateway", exporter=exporter), telemetry

    with gateway.span("request", kind=SpanKind.SERVER):
        handed_on = current_traceparent()
    with ingest.span("append", parent=handed_on), ingest.span("insert"):
        pass

    request, insert, append = exporter.get_finished_spans()
    assert (request.name, insert.name, append.name) == ("request", "insert", "append")
    assert append.parent is not None
    assert insert.parent is not None
    assert append.parent.span_id == request.context.span_id
    assert insert.parent.span_id == append.context.span_id
    assert {s.context.trace_id for s in (request, insert, append)} == {request.context.trace_id}
    assert request.resource.attributes["service.name"] == "gateway"


def test_without_a_collector_the_trace_continues_unrecorded() -> None:
    telemetry = traces.set_up("ingest")

    with telemetry.span("append", parent=PARENT) as span:
        handed_on = current_traceparent()

    assert not span.is_recording()
    assert handed_on is not None
    assert handed_on.startswith(f"00-{TRACE}-")
    assert handed_on != PARENT


def test_without_a_collector_and_without_a_parent_a_valid_trace_begins() -> None:
    telemetry = traces.set_up("ingest")

    with telemetry.span("one"):
        first = current_traceparent() or ""
        with telemetry.span("two"):
            second = current_traceparent() or ""

    assert traces.parse(first).is_valid
    assert first.split("-")[1] == second.split("-")[1]
    assert first.split("-")[2] != second.split("-")[2]


def test_outside_of_a_span_there_is_no_traceparent() -> None:
    with traces.set_up("ingest").span("one"):
        pass

    assert current_traceparent() is None


def test_links_name_the_traces_of_a_batch_and_malformed_ones_are_ignored(
    exporter: InMemorySpanExporter, telemetry: traces.Telemetry
) -> None:
    with telemetry.span("batch", links=[PARENT, "rubbish", OTHER], attributes={"size": 2}):
        pass

    (batch,) = exporter.get_finished_spans()
    assert [f"{link.context.trace_id:032x}" for link in batch.links] == [TRACE, "1" * 32]
    assert batch.attributes == {"size": 2}


def test_a_failure_marks_the_span_without_its_message(
    exporter: InMemorySpanExporter, telemetry: traces.Telemetry
) -> None:
    with pytest.raises(KeyError), telemetry.span("append"):
        raise KeyError("+7 900 000-00-00")

    (span,) = exporter.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "KeyError")
    assert not span.events


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "rubbish",
        PARENT.upper(),
        PARENT + "-00",
        PARENT.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-b7ad6b716920333 -01",
        f"00-{TRACE}-b7ad6b716920_331-01",
        f"00-{TRACE}-b7ad6b716920333\u0661-01",
    ],
)
def test_a_malformed_traceparent_begins_a_new_trace(text: str | None) -> None:
    assert not traces.parse(text).is_valid

    with traces.set_up("ingest").span("one", parent=text):
        begun = current_traceparent()

    assert begun is not None
    assert TRACE not in begun


def test_a_traceparent_of_a_later_version_is_accepted() -> None:
    assert traces.parse("01" + PARENT[2:] + "-more").is_valid


def test_spans_are_sent_to_the_collector_by_http() -> None:
    received: list[str] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            received.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        telemetry = traces.set_up("ingest", f"http://127.0.0.1:{server.server_port}/")
        with telemetry.span("one"):
            pass
        telemetry.close()
        server.shutdown()
        thread.join()

    assert received == ["/v1/traces"]


async def test_a_stop_does_not_wait_for_a_collector_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traces, "CLOSE_SECONDS", 0.1)
    goes_on = threading.Event()

    class Hanging(InMemorySpanExporter):
        def shutdown(self) -> None:
            goes_on.wait()

    async with asyncio.timeout(PATIENCE_SECONDS / 3):
        await traces.set_up("ingest", exporter=Hanging()).stop()
    goes_on.set()
