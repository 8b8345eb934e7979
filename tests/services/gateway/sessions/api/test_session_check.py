"""Services ask whether a session goes on; from outside there is no such route."""

from uuid import uuid4

import pytest

from libs.errors import Unauthenticated
from libs.http.revocations import following
from libs.postgres.doorbell import Doorbell
from services.gateway.accounts.domain.realm import Realm, Role, Workspace
from services.gateway.sessions.handlers import session as sessions
from services.gateway.sessions.stores.revoked import make_revocations
from tests.services.gateway.harness import Harness

CRM = Workspace(Realm.CRM, "demo")


async def test_a_session_goes_on_until_it_is_revoked(demo: Harness) -> None:
    anna = await demo.create_account(Role(CRM, "ENGINEER"))
    into, headers = await demo.log_in(anna, CRM)
    path = f"/internal/sessions/{into.session_id}"
    async with demo.another_client(address="127.0.0.1") as service:

        async def live(path: str) -> object:
            answer = await service.get(path)
            assert answer.status_code == 200
            return answer.json()

        assert await live(path) == {"live": True}
        assert await live(f"/internal/sessions/{uuid4()}") == {"live": False}

        await sessions.log_out(demo.deps.identity, into.refresh_token)

        assert await live(path) == {"live": False}
        assert (await service.get("/internal/sessions/none")).status_code == 422
    async with demo.another_client(address="10.1.2.3") as stranger:
        assert (await stranger.get(path)).status_code == 404
    # This process was never level, for nothing follows here: so it asked the log.
    with pytest.raises(Unauthenticated):
        await demo.deps.verifier.principal(headers["Authorization"])


async def test_a_session_that_was_revoked_is_known_to_every_process_by_the_row(
    demo: Harness,
) -> None:
    anna = await demo.create_account(Role(CRM, "ENGINEER"))
    into, _ = await demo.log_in(anna, CRM)

    await sessions.log_out(demo.deps.identity, into.refresh_token)

    stored = "SELECT count(*) FROM revoked_session WHERE session_id = $1 AND until > now()"
    assert await demo.deps.system.fetchval(stored, str(into.session_id)) == 1


async def test_a_revocation_without_its_row_is_found_in_the_read_model(demo: Harness) -> None:
    """The process that revoked died before it wrote the row."""
    anna = await demo.create_account(Role(CRM, "ENGINEER"))
    into, _ = await demo.log_in(anna, CRM)
    await sessions.log_out(demo.deps.identity, into.refresh_token)
    await demo.deps.system.execute("DELETE FROM revoked_session")
    another = make_revocations(demo.deps.settings, demo.deps.system, Doorbell("nowhere", "gateway"))
    async with following(another):
        assert not another.is_revoked(str(into.session_id))
        assert another.blind_since is None

    await demo.catch_up()

    again = make_revocations(demo.deps.settings, demo.deps.system, Doorbell("nowhere", "gateway"))
    async with following(again):
        assert again.is_revoked(str(into.session_id))
