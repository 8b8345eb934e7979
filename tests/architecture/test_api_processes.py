"""Processes that answer HTTP speak to Postgres alone.

Context: a Kafka client costs memory in each process, and a broker that is away must not keep a
screen from being shown. Decision: what they learn from other services reaches them through their
own database. Consequence: nothing they import imports a Kafka client.
"""

import subprocess
import sys

import pytest

IMPORTED = """
import sys
import services.{service}.__main__, services.{service}.bootstrap, libs.process.service
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


@pytest.mark.parametrize("service", ["gateway", "ingest", "scale_bridge"])
def test_an_api_process_knows_no_kafka_client(service: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(service=service)],
        check=True,
        capture_output=True,
        text=True,
    )

    imported = set(done.stdout.split())
    assert {"asyncpg", "granian"} <= imported
    assert imported.isdisjoint({"aiokafka", "faststream"})
