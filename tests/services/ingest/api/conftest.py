"""An API that looks and beats often, and scans that are counted at once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from services.ingest.bootstrap import create_app
from tests.services.ingest.shift import BATCH, sent
from tests.services.ingest.told import Clock, Projector


@pytest.fixture
def build(app: FastAPI) -> Callable[..., FastAPI]:
    """Builds the API with settings that differ, on the same log and read models."""

    def built(**different: Any) -> FastAPI:
        quick = {"stream_poll_seconds": 0.01, "stream_heartbeat_seconds": 0.05} | different
        deps = app.state.deps
        return create_app(replace(deps, settings=deps.settings.model_copy(update=quick)))

    return built


@pytest.fixture
def lively(build: Callable[..., FastAPI]) -> FastAPI:
    """The API, looking and beating often."""
    return build()


@pytest.fixture
async def scan(device: AsyncClient, projector: Projector, clock: Clock) -> Any:
    """Sends a scan and has it counted."""

    async def send(number: int, **changes: Any) -> None:
        event = sent(number, changes.pop("moment", clock.now), **changes)
        clock.pass_by(seconds=1)
        answer = await device.post(BATCH, json={"events": [event]})
        assert answer.json()["inserted"] == 1
        await projector.catch_up()

    return send
