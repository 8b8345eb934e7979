"""The import laws hold, and each of them would notice a violation.

A law nobody has seen fail may be misspelt. So every law is broken once, in a copy of the tree.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

VIOLATIONS = [
    (
        "Services stand on libs, libs stand on contracts",
        "libs/clock.py",
        "import services.ingest.settings",
    ),
    (
        "Libs know no business: of the contracts only the envelope and claims",
        "libs/clock.py",
        "import contracts.ingest",
    ),
    (
        "Services never import each other",
        "services/ingest/scans/handlers/scan.py",
        "import services.gateway.accounts.domain",
    ),
    (
        "Inside a subject, imports go one way",
        "services/ingest/scans/domain/scan.py",
        "import services.ingest.scans.handlers.scan",
    ),
    (
        "Ingest: its subjects, top to bottom",
        "services/ingest/removals/api.py",
        "import services.ingest.dashboard.api.overview",
    ),
    (
        "Gateway: its subjects, top to bottom",
        "services/gateway/doors/domain/door.py",
        "import services.gateway.proxy.domain",
    ),
    (
        "Gateway: its realms, top to bottom",
        "services/gateway/realms/crm/api.py",
        "import services.gateway.realms.kiosk.api.users",
    ),
    (
        "Scale bridge: its subjects, top to bottom",
        "services/scale_bridge/catalogue/domain/product.py",
        "import services.scale_bridge.devices.domain.device",
    ),
    ("Domains are pure", "services/ingest/scans/domain/scan.py", "import pydantic"),
    (
        "Test kits stay in tests",
        "services/ingest/scans/handlers/scan.py",
        "import libs.eventsourcing.testing",
    ),
]


def lint(home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT, "--no-cache"], cwd=home, check=False, capture_output=True, text=True
    )


def test_the_laws_hold() -> None:
    done = lint(ROOT)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("law", "file", "line"), VIOLATIONS, ids=[law for law, *_ in VIOLATIONS])
def test_a_violation_is_noticed(tmp_path: Path, law: str, file: str, line: str) -> None:
    for package in ("contracts", "libs", "services"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    broken = tmp_path / file
    broken.write_text(f"{broken.read_text()}\n{line}\n")

    done = lint(tmp_path)

    assert done.returncode == 1
    assert f"{law} BROKEN" in done.stdout
