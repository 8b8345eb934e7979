"""The contents of log lines, and redaction."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from libs.telemetry import logs, traces


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    """Restore the logging configuration after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def lines() -> io.StringIO:
    out = io.StringIO()
    logs.set_up("ingest", stream=out)
    return out


def only(lines: io.StringIO) -> dict[str, Any]:
    (text,) = lines.getvalue().splitlines()
    line: dict[str, Any] = json.loads(text)
    return line


def test_a_line_is_json_with_service_level_and_time(lines: io.StringIO) -> None:
    structlog.get_logger().info("batch accepted", new=3)

    line = only(lines)

    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "batch accepted", "new": 3, "level": "info", "service": "ingest"}


def test_a_line_has_its_trace_and_request(lines: io.StringIO) -> None:
    telemetry = traces.set_up("ingest")
    with telemetry.span("append"), structlog.contextvars.bound_contextvars(request_id="r1"):
        parent = traces.current_traceparent()
        structlog.get_logger().info("appended")

    line = only(lines)

    assert parent == f"00-{line['trace_id']}-{line['span_id']}-00"
    assert line["request_id"] == "r1"


def test_stdlib_logging_has_the_same_format(lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r2"):
        logging.getLogger("somewhere").warning("low %s", "disk")

    line = only(lines)

    assert (line["event"], line["level"]) == ("low disk", "warning")
    assert (line["logger"], line["request_id"], line["service"]) == ("somewhere", "r2", "ingest")


@pytest.mark.parametrize("name", ["faststream", "aiokafka.consumer", "granian", "alembic"])
def test_chatty_libraries_log_from_warning_on(lines: io.StringIO, name: str) -> None:
    logging.getLogger(name).info("chatter")
    structlog.get_logger().debug("chatter")
    assert lines.getvalue() == ""

    logging.getLogger(name).warning("trouble")

    assert only(lines)["event"] == "trouble"


def test_a_library_with_its_own_handler_has_the_same_format() -> None:
    own, out = io.StringIO(), io.StringIO()
    chatty = logging.getLogger("faststream")
    chatty.addHandler(logging.StreamHandler(own))
    chatty.propagate = False
    logs.set_up("ingest", stream=out)
    chatty.warning("trouble")

    assert only(out)["event"] == "trouble"
    assert own.getvalue() == ""


def test_secrets_are_redacted_at_any_depth(lines: io.StringIO) -> None:
    structlog.get_logger().info(
        "login",
        password="hunter2",
        headers={"Authorization": "hunter2", "X-API-Key": "hunter2", "accept": "*/*"},
        tries=[{"refresh_token": "hunter2", "at": 1}],
        dsn="postgresql://till:hunter2@db/till",
    )

    line = only(lines)

    assert "hunter2" not in lines.getvalue()
    assert line["headers"]["accept"] == "*/*"
    assert line["tries"] == [{"refresh_token": "[redacted]", "at": 1}]
    assert line["dsn"] == "postgresql://[redacted]@db/till"


def test_an_exception_is_logged_without_local_values_or_quoted_rows(lines: io.StringIO) -> None:
    def fail(phone: str) -> None:
        raise ValueError(f"duplicate key\nDETAIL:  Key (phone)=({phone}) exists.")

    phone = "+7" + "9000004711"
    try:
        fail(phone)
    except ValueError:
        structlog.get_logger().exception("append failed")

    line = only(lines)

    assert "ValueError: duplicate key" in line["exception"]
    assert "4711" not in lines.getvalue()


@pytest.mark.parametrize("value", [float("nan"), "\ud800", b"\xff", {1: object()}, {("a",): 1}])
def test_a_value_that_json_cannot_represent_is_logged(lines: io.StringIO, value: object) -> None:
    structlog.get_logger().info("odd", value=value)

    assert only(lines)["event"] == "odd"


def test_a_terminal_gets_text() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    logs.set_up("ingest", stream=out)
    structlog.get_logger().info("batch accepted")

    assert "batch accepted" in out.getvalue()
    assert not out.getvalue().startswith("{")
