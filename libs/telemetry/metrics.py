"""Metrics: Prometheus exposition that is right for one process and for several.

Metrics are declared where they are counted, in prometheus_client's default registry. When
`PROMETHEUS_MULTIPROC_DIR` is set before the start, processes add up in files there, and any of them
answers for all.
"""

import os
import platform
from collections.abc import Mapping

import psutil
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

BUILD = Gauge(
    "tillstream_build_info",
    "What runs: always 1.",
    ["service", "python"],
    multiprocess_mode="max",
)
RESIDENT = Gauge(
    "tillstream_process_resident_bytes",
    "Resident memory of a process.",
    ["service"],
    multiprocess_mode="liveall",
)


def exposition(
    service: str = "tillstream", env: Mapping[str, str] = os.environ
) -> tuple[bytes, str]:
    """The metrics as text, and the content type to say it is."""
    BUILD.labels(service, platform.python_version()).set(1)
    RESIDENT.labels(service).set(psutil.Process().memory_info().rss)
    return generate_latest(_registry(env)), CONTENT_TYPE_LATEST


def forget_process(pid: int, env: Mapping[str, str] = os.environ) -> None:
    """Drop the gauges of a process that ended; its counters stay. For whoever supervises it."""
    if "PROMETHEUS_MULTIPROC_DIR" in env:
        mark_process_dead(pid, env["PROMETHEUS_MULTIPROC_DIR"])  # type: ignore[no-untyped-call]


def _registry(env: Mapping[str, str]) -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in env:
        return REGISTRY
    together = CollectorRegistry()
    MultiProcessCollector(together, env["PROMETHEUS_MULTIPROC_DIR"])  # type: ignore[no-untyped-call]
    return together
