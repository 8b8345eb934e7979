"""What no process of a service carries about all day."""

import subprocess
import sys
from pathlib import Path

import pytest

SERVICES = sorted(path.parent.name for path in Path("services").glob("*/__main__.py"))


@pytest.mark.parametrize("service", SERVICES)
def test_only_who_migrates_loads_alembic(service: str) -> None:
    told = f"import sys, services.{service}.__main__; print('alembic' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "False\n"
