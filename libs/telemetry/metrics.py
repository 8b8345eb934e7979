"""Metrics: Prometheus exposition for one process or for several.

Metrics are declared where they are counted, in prometheus_client's default registry. If
`PROMETHEUS_MULTIPROC_DIR` is set before the start, all processes write their metrics to files
there, and each of them exposes the metrics of all.
"""

import os
import platform
from collections.abc import Mapping

import psutil
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

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
    """The metrics as text, and their content type."""
    BUILD.labels(service, platform.python_version()).set(1)
    RESIDENT.labels(service).set(psutil.Process().memory_info().rss)
    return generate_latest(_registry(env)), CONTENT_TYPE_LATEST


def _registry(env: Mapping[str, str]) -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in env:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry, env["PROMETHEUS_MULTIPROC_DIR"])  # type: ignore[no-untyped-call]
    return registry
