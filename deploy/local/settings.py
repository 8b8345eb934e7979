"""What may be chosen when the local installation starts; all of it has a default."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from deploy.local.trouble import CannotStart

ROOT = Path(__file__).parents[2]
"""The folder of the project: services are run from it."""

Profile: TypeAlias = Literal["demo", "test", "local"]
GATEWAY_PORT = 8080


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalSettings:
    """`home` holds everything that survives a stop; `database_url` and `kafka_bootstrap` are
    None when the embedded servers are to be used."""

    home: Path = ROOT / ".data"
    profile: Profile = "local"
    gateway_port: int = GATEWAY_PORT
    split: bool = False
    database_url: str | None = None
    kafka_bootstrap: str | None = None
    java: Path | None = None

    @classmethod
    def from_env(
        cls, env: Mapping[str, str] = os.environ, *, profile: Profile | None = None
    ) -> "LocalSettings":
        """Read the environment; a `profile` given here wins over TILLSTREAM_PROFILE.

        Raises `CannotStart` naming the variable that cannot be understood.
        """
        java = env.get("TILLSTREAM_JAVA")
        return cls(
            home=Path(env.get("TILLSTREAM_DATA") or ROOT / ".data").absolute(),
            profile=profile or _profile(env.get("TILLSTREAM_PROFILE") or "local"),
            gateway_port=_port(env.get("GATEWAY_PORT") or str(GATEWAY_PORT)),
            split=env.get("SPLIT", "") not in {"", "0", "false", "no"},
            database_url=env.get("DATABASE_URL") or None,
            kafka_bootstrap=env.get("KAFKA_BOOTSTRAP_SERVERS") or None,
            java=Path(java).expanduser() if java else None,
        )


def _profile(text: str) -> Profile:
    for profile in get_args(Profile):
        if text == profile:
            return profile  # type: ignore[no-any-return]
    raise CannotStart(
        f"TILLSTREAM_PROFILE is {text!r}, which `make up` does not know.",
        remedy="Leave it out, or set it to local, demo or test.",
    )


def _port(text: str) -> int:
    if text.isdecimal() and 0 < int(text) <= 65535:
        return int(text)
    raise CannotStart(
        f"GATEWAY_PORT is {text!r}, which is not a port.",
        remedy="Set it to a number between 1 and 65535, for example GATEWAY_PORT=8081.",
    )
