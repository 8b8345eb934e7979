"""What no process of a service carries about all day."""

import subprocess
import sys
from pathlib import Path

SERVICES = sorted(path.parent.name for path in Path("services").glob("*/__main__.py"))
ASK = """
import importlib, sys
for service in sys.argv[1:]:
    importlib.import_module(f"services.{service}.__main__")
    print(service, "alembic" in sys.modules)
"""


def test_only_what_migrates_loads_alembic() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK, *SERVICES], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == [f"{service} False" for service in SERVICES]
