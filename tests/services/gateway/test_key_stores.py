"""API keys: whose they are, remembered, and when they were used; the file of the signing keys."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from libs.errors import Unavailable
from libs.postgres.pool import Pool
from libs.security.tokens import KeyRing, SigningKey
from libs.testing.clock import NOON, MonotonicClock
from libs.testing.polling import PATIENCE_SECONDS, eventually
from services.gateway.api_keys.stores import known_keys
from services.gateway.api_keys.stores.key_uses import KeyUses, last_uses
from services.gateway.api_keys.stores.known_keys import KeysUnavailable, KnownKeys
from services.gateway.doors.domain.caller import Caller
from services.gateway.sessions.adapters.key_file import KeyFileUnfit, rotate

ANNA = Caller(tenant="demo", subject=UUID(int=1), scopes=frozenset({"scan:read"}))


class World:
    """A clock, and a database that can be taken away."""

    def __init__(self, expires_in: float | None = None) -> None:
        self.seconds = MonotonicClock()
        until = None if expires_in is None else self.clock() + timedelta(seconds=expires_in)
        self.anna = replace(ANNA, expires_at=until)
        self.callers = {"anna": self.anna}
        self.away = False
        self.look_ups: list[str] = []
        self.slow: asyncio.Event | None = None
        self.keys = KnownKeys(
            self.look_up,
            fresh=10,
            unknown=2,
            stale=60,
            capacity=3,
            now=self.seconds,
            clock=self.clock,
        )

    def clock(self) -> datetime:
        return datetime.fromtimestamp(self.seconds.now, UTC)

    async def look_up(self, hashed: str) -> Caller | None:
        self.look_ups.append(hashed)
        if self.slow:
            await self.slow.wait()
        if self.away:
            raise Unavailable
        return self.callers.get(hashed)

    async def meets(self, key: str) -> str:
        """What the gateway takes the holder of the key for."""
        try:
            caller = await self.keys.caller(key)
        except KeysUnavailable:
            return "nobody knows"
        assert caller in (None, self.anna)
        return "stranger" if caller is None else "anna"


@pytest.mark.parametrize(
    ("steps", "look_ups"),
    [
        pytest.param("anna=anna anna=anna anna=anna", 1, id="asked for once while fresh"),
        pytest.param("anna=anna revoke 10 anna=stranger", 2, id="revoked, no longer fresh"),
        pytest.param(
            "anna=anna revoke 10 anna=stranger away 10 anna=nobody", 3, id="revoked, then away"
        ),
        pytest.param(
            "ben=stranger issue ben=stranger 2 ben=anna", 2, id="a stranger, not for long"
        ),
        pytest.param("anna=anna away 30 anna=anna", 2, id="away, seen before"),
        pytest.param("anna=anna away 30 anna=anna anna=anna anna=anna", 2, id="away, asked once"),
        pytest.param("anna=anna away 61 anna=nobody", 2, id="away for too long"),
        pytest.param("away ben=nobody back ben=stranger", 2, id="away, never seen"),
    ],
)
async def test_a_key_is_believed_as_long_as_it_should_be(steps: str, look_ups: int) -> None:
    world = World()
    for step in steps.split():
        match step.split("="):
            case [key, caller]:
                assert (await world.meets(key)).split()[0] == caller, step
            case ["revoke"]:
                del world.callers["anna"]
            case ["issue"]:
                world.callers["ben"] = ANNA
            case ["away" | "back"]:
                world.away = step == "away"
            case _:
                world.seconds.advance(float(step))

    assert len(world.look_ups) == look_ups


async def test_unknown_keys_do_not_evict_known_ones() -> None:
    world = World()
    await world.meets("anna")

    for number in range(100):
        await world.meets(f"stranger {number}")
    world.look_ups.clear()

    assert await world.meets("anna") == "anna"
    assert world.look_ups == []


async def test_requests_with_one_key_share_one_question_even_if_one_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_keys, "LOOK_UP_SECONDS", PATIENCE_SECONDS)
    world = World()
    world.slow = asyncio.Event()
    waiting = [asyncio.create_task(world.keys.caller("anna")) for _ in range(3)]
    await eventually(lambda: world.look_ups)
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)

    world.slow.set()

    assert await asyncio.gather(*waiting[1:]) == [ANNA, ANNA]
    assert world.look_ups == ["anna"]


@pytest.mark.parametrize(("expires_in", "away"), [(5, False), (20, True)])
async def test_a_key_opens_nothing_once_it_ran_out(expires_in: float, *, away: bool) -> None:
    """Whatever is remembered of it, and also if it cannot be looked up."""
    world = World(expires_in)
    assert await world.meets("anna") == "anna"
    world.away = away

    world.seconds.advance(expires_in - 1)
    assert await world.meets("anna") == "anna"
    world.seconds.advance(1)
    assert await world.meets("anna") == "stranger"
    assert away or world.look_ups == ["anna"]


BEN = Caller(tenant="other", subject=UUID(int=2), scopes=frozenset())


def key_uses(pool: Pool, seconds: MonotonicClock) -> KeyUses:
    """The uses one process counts; `seconds` go by from noon."""
    return KeyUses(pool, clock=lambda: NOON + timedelta(seconds=seconds.now), now=seconds)


@pytest.fixture
def seconds() -> MonotonicClock:
    return MonotonicClock(0.0)


@pytest.fixture
def uses(own_pool: Pool, seconds: MonotonicClock) -> KeyUses:
    return key_uses(own_pool, seconds)


async def test_a_minute_of_uses_is_written(
    own_pool: Pool, uses: KeyUses, seconds: MonotonicClock
) -> None:
    for seconds.now in (0.0, 30.0, 59.0):
        uses.seen(ANNA)
    assert await last_uses(own_pool, "demo") == {}

    seconds.now = 60.0
    uses.seen(ANNA)

    written = await eventually(lambda: last_uses(own_pool, "demo"))
    assert written == {ANNA.subject: NOON + timedelta(seconds=60)}


async def test_the_rest_is_written_at_the_end_for_its_tenant(own_pool: Pool, uses: KeyUses) -> None:
    uses.seen(ANNA)
    uses.seen(BEN)

    await uses.close()

    assert await last_uses(own_pool, "demo") == {ANNA.subject: NOON}
    assert await last_uses(own_pool, "other") == {BEN.subject: NOON}


async def test_of_several_processes_the_latest_use_counts(own_pool: Pool) -> None:
    late, early = key_uses(own_pool, MonotonicClock(10.0)), key_uses(own_pool, MonotonicClock(0.0))
    for one in (late, early):
        one.seen(ANNA)

    await late.close()
    await early.close()

    assert await last_uses(own_pool, "demo") == {ANNA.subject: NOON + timedelta(seconds=10)}


async def test_failed_writes_are_repeated(own_pool: Pool, uses: KeyUses, database: str) -> None:
    owner = await asyncpg.connect(database)
    await owner.execute("ALTER TABLE gateway.key_use RENAME TO gone")
    uses.seen(ANNA)
    await uses.write()
    await owner.execute("ALTER TABLE gateway.gone RENAME TO key_use")
    await owner.close()

    await uses.write()

    assert set(await last_uses(own_pool, "demo")) == {ANNA.subject}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "signing.pem"
    made.write_text(SigningKey.generate().to_pem())
    made.chmod(0o644)
    return made


def kids(file: Path) -> list[str]:
    return [key.kid for key in KeyRing.from_pem(file.read_text())]


def test_a_new_key_signs_and_the_kept_older_ones_still_verify(file: Path) -> None:
    (first,) = kids(file)

    second = rotate(file, keep=1)
    assert [key.kid for key in second.older] == [first]
    third = rotate(file, keep=2)
    assert kids(file) == [third.current.kid, second.current.kid, first]
    fourth = rotate(file, keep=1)
    assert kids(file) == [fourth.current.kid, third.current.kid]
    alone = rotate(file, keep=0)
    assert kids(file) == [alone.current.kid]
    # Only the owner reads it from then on, and nothing else is left.
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_a_link_stays_a_link(file: Path) -> None:
    link = file.with_name("current.pem")
    link.symlink_to(file)

    made = rotate(link, keep=1)

    assert link.is_symlink()
    assert kids(file)[0] == made.current.kid


def test_a_failed_write_leaves_the_old_keys(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_text()

    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.gateway.sessions.adapters.key_file.os.fsync", full)
    with pytest.raises(KeyFileUnfit):
        rotate(file, keep=1)

    assert file.read_text() == before
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_two_do_not_rotate_at_once(file: Path) -> None:
    before = file.read_text()
    other = file.with_name(f".{file.name}.new")
    other.write_text("half a key")

    with pytest.raises(KeyFileUnfit, match="somebody else"):
        rotate(file, keep=1)

    assert file.read_text() == before
    assert other.read_text() == "half a key"


@pytest.mark.parametrize("content", [None, "", "-----BEGIN PRIVATE KEY-----\nx", "ключ"])
def test_what_holds_no_key_is_left_and_not_repeated(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "signing.pem"
    if content is not None:
        file.write_text(content, encoding="utf-8")

    with pytest.raises(KeyFileUnfit) as no:
        rotate(file, keep=1)

    assert content is None or file.read_text(encoding="utf-8") == content
    assert "PRIVATE" not in str(no.value)
