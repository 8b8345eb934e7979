"""Numbers and texts that no table can hold, in every place of every route of the gateway's own, as
an administrator of each realm sends them."""

import warnings
from uuid import uuid4

import pytest

from libs.testing.extremes import assert_extremes_are_answered
from libs.testing.routes import routes_of
from services.gateway.accounts.domain.realm import Realm, Role, Workspace
from tests.services.gateway.harness import CHIEF, demo_on

ADMINISTRATORS = [
    CHIEF,
    Role(Workspace(Realm.KIOSK, "demo"), "superadmin"),
    Role(Workspace(Realm.CRM, "demo"), "ADMIN"),
    Role(Workspace(Realm.SHOP, "demo"), "admin"),
    Role(Workspace(Realm.SCALES, "demo"), "user"),
]

APART = ("logout",)
"""In routes that end the caller's own session. The bot that others need is away."""


@pytest.mark.parametrize("role", ADMINISTRATORS, ids=lambda role: str(role.workspace.realm))
async def test_what_no_column_can_hold_is_refused_on_every_route(database: str, role: Role) -> None:
    async with demo_on(database) as harness:
        headers = await harness.header_of(role)
        await harness.catch_up()
        usual = {"number": "1", "user_id": str(uuid4()), "session_id": str(uuid4())}
        async with harness.another_client(headers) as client:
            with warnings.catch_warnings():
                # Some routes stand at two paths, and are described under one name.
                warnings.simplefilter("ignore", UserWarning)
                document = harness.app.openapi()
            apart = [
                (one.method, one.path)
                for one in routes_of(document)
                if any(word in one.path for word in APART)
            ]
            made = await assert_extremes_are_answered(
                client, document, usual=usual, except_for=apart, away=[503]
            )

    assert made > 100
