"""Exposition of metrics in one process and in several."""

import os
import subprocess
import sys
from pathlib import Path

from libs.telemetry.metrics import exposition

COUNT = """
import sys
from prometheus_client import Counter
from libs.telemetry.metrics import exposition
Counter("scans", "Scans.").inc(int(sys.argv[1]))
sys.stdout.write(exposition("ingest")[0].decode())
"""


def test_metrics_have_the_build_and_the_resident_memory() -> None:
    body, content_type = exposition("ingest", {})

    lines = body.decode().splitlines()
    resident = [line for line in lines if line.startswith("tillstream_process_resident_bytes{")]
    assert content_type.startswith("text/plain")
    assert any(
        line.startswith("tillstream_build_info{") and 'service="ingest"' in line for line in lines
    )
    assert float(resident[0].rpartition(" ")[2]) > 1_000_000


def count(folder: Path, scans: int) -> str:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", COUNT, str(scans)],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_each_process_exposes_the_metrics_of_all(tmp_path: Path) -> None:
    assert "scans_total 3.0" in count(tmp_path, 3)

    together = count(tmp_path, 4)

    assert "scans_total 7.0" in together
    assert together.count("tillstream_process_resident_bytes{") == 2
