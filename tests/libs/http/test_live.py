"""Live queries as server-sent events: loaded once for all viewers, resumable at any point."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from fastapi import APIRouter, Depends, FastAPI, Response
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge

from libs.http import hub as hubs
from libs.http.app import create_app
from libs.http.auth import Principal, public
from libs.http.live import Event, EventStream, Feed, LiveQuery, StreamHub, StreamSettings
from libs.postgres.doorbell import PROJECTED, Doorbell
from libs.telemetry.traces import set_up
from libs.testing.event_stream import Listener, open_stream, read
from libs.testing.polling import PATIENCE_SECONDS, eventually

Stock = Mapping[str, int]
QUICK = StreamSettings(
    stream_poll_seconds=0.01,
    stream_idle_seconds=60,
    stream_heartbeat_seconds=30,
)
CALLER = Principal("anna", "demo", frozenset(), "crm", session="s1")
HEARTBEAT = b'data: {"event_type":"HEARTBEAT"}\n\n'


@dataclass
class Warehouse:
    """What is loaded, how often it was, and whether that works."""

    stock: dict[str, int] = field(default_factory=dict)
    version: int = 0
    loads: list[tuple[str, bool]] = field(default_factory=list)
    is_away: bool = False

    async def positions(self) -> Mapping[str, Any]:
        return {"stock": self.version, "other": 1}


class LiveStock(LiveQuery[Stock]):
    """The stock, or what `part` names of it, as `stock` and then as `changes`."""

    resumable = True
    part: tuple[str, ...] = ()

    def __init__(self, warehouse: Warehouse, key: str = "", part: tuple[str, ...] = ()) -> None:
        self.warehouse, self.key, self.part = warehouse, key, part

    async def load(self, *, changed: bool) -> Stock | None:
        self.warehouse.loads.append((str(self.key), changed))
        if self.warehouse.is_away:
            raise ConnectionRefusedError
        return dict(self.warehouse.stock)

    def event(self, old: Stock | None, new: Stock) -> Event | None:
        if old is None:
            return "stock", new
        changed = {name: count for name, count in new.items() if old.get(name) != count}
        gone = [name for name in old if name not in new]
        return ("changes", {"changed": changed, "gone": gone}) if changed or gone else None

    def view(self, state: Stock) -> Stock:
        return {n: count for n, count in state.items() if not self.part or n in self.part}


class StockByModel(LiveStock):
    models = ("stock",)


class PlainStock(LiveStock):
    resumable = False
    heartbeat = HEARTBEAT
    retry_ms = 3000


QUERIES: dict[str, type[LiveStock]] = {
    "rounds": LiveStock,
    "models": StockByModel,
    "plain": PlainStock,
}


@dataclass
class Client:
    """A client that applies events, and the number of the state that its stream has reached."""

    query: LiveStock
    number: int | None = None
    stock: Stock | None = None
    last_id: str | None = None

    def receive(self, feed: Feed[Stock], *, is_lost: bool = False) -> None:
        """Take the next event; if it `is_lost`, the connection broke before it arrived."""
        message, self.number = feed.since(self.number, self.query), feed.number
        if message and not is_lost:
            event = read(message.decode().removesuffix("\n\n"))
            self.stock, self.last_id = applied(self.stock, event.name, event.data), event.id

    def reconnect(self, feed: Feed[Stock]) -> None:
        self.number = feed.number_of(self.last_id)


def applied(stock: Stock | None, name: str, data: Any) -> Stock:
    if name == "stock":
        whole: Stock = data
        return whole
    changed: dict[str, int] = data["changed"]
    kept = {n: count for n, count in (stock or {}).items() if n not in data["gone"]}
    return kept | changed


class Story:
    """A query and its viewers: one that stays, and unsteady ones, of which the last sees a part."""

    def __init__(self, most: int) -> None:
        class Short(LiveStock):
            max_states: ClassVar[int] = most

        self.warehouse = Warehouse()
        self.feed: Feed[Stock] = Feed("f", Short(self.warehouse))
        self.stayed = Client(Short(self.warehouse))
        self.unsteady = [Client(Short(self.warehouse, part=part)) for part in ((), (), ("a",))]

    def set(self, name: str, count: int) -> None:
        self.warehouse.stock[name] = count

    def remove(self, name: str) -> None:
        self.warehouse.stock.pop(name, None)

    def load(self) -> None:
        self.feed.publish(dict(self.warehouse.stock))
        self.stayed.receive(self.feed)
        assert self.stayed.stock == self.warehouse.stock

    def receive(self, number: int) -> None:
        self.unsteady[number].receive(self.feed)

    def lose(self, number: int) -> None:
        self.unsteady[number].receive(self.feed, is_lost=True)
        self.reconnect(number)

    def reconnect(self, number: int) -> None:
        self.unsteady[number].reconnect(self.feed)

    def begin_again(self, number: int) -> None:
        self.unsteady[number] = Client(self.unsteady[number].query)


names, clients = st.sampled_from("abc"), st.integers(0, 2)
steps = st.one_of(
    st.tuples(st.just(Story.set), names, st.integers(0, 3)),
    st.tuples(st.just(Story.remove), names),
    st.tuples(st.just(Story.load)),
    st.tuples(
        st.sampled_from([Story.receive, Story.lose, Story.reconnect, Story.begin_again]), clients
    ),
)


@given(steps=st.lists(steps, max_size=60), most=st.integers(1, 4))
def test_a_client_that_resumes_ends_with_the_state_of_one_that_stayed(
    steps: list[tuple[Any, ...]], most: int
) -> None:
    story = Story(most)

    for step, *arguments in steps:
        step(story, *arguments)

    story.load()
    for client in story.unsteady:
        client.receive(story.feed)
        assert client.stock == client.query.view(story.warehouse.stock)


@dataclass
class Shop:
    """An app with the streams of a warehouse."""

    app: FastAPI
    warehouse: Warehouse
    doorbell: Doorbell
    revoked: set[str]

    @property
    def hub(self) -> StreamHub:
        hub: StreamHub = self.app.state.live
        return hub

    def listen(
        self, kind: str = "rounds", *, last_id: str | None = None, **query: str
    ) -> AbstractAsyncContextManager[Listener]:
        client: Any = SimpleNamespace(headers={"authorization": ""})
        return open_stream(self.app, client, f"/{kind}", last_id=last_id, **query)

    def change(self, **stock: int) -> None:
        """Change the stock as a projection does: with its position, and a ring after it."""
        self.warehouse.stock |= stock
        self.warehouse.version += 1
        self.doorbell.ring(PROJECTED)


def open_shop(**settings: Any) -> Shop:
    warehouse, revoked, router = Warehouse({"a": 1}), set[str](), APIRouter()
    doorbell = Doorbell("postgresql://nowhere", "none")
    deps = SimpleNamespace(revocations=SimpleNamespace(is_revoked=revoked.__contains__))

    @router.get("/{kind}", dependencies=[Depends(public)])
    async def stream(kind: str, key: str = "", part: str = "", last: str | None = None) -> Response:
        return EventStream(QUERIES[kind](warehouse, key, tuple(part)), CALLER, last)

    app = create_app(title="shop", routers=[router], deps=deps, checks={}, telemetry=set_up("shop"))
    app.state.live = StreamHub(
        doorbell,
        QUICK.model_copy(update=settings),
        warehouse.positions,
        Gauge("streams", "Streams", registry=CollectorRegistry()),
    )
    return Shop(app, warehouse, doorbell, revoked)


@pytest.fixture(autouse=True)
def as_if_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "DEAF_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def shop() -> Shop:
    return open_shop()


async def test_a_stream_begins_with_the_state_and_goes_on_with_changes(shop: Shop) -> None:
    async with shop.listen() as listener:
        retry, first = await listener.next("retry"), await listener.next()
        shop.change(b=2)
        second = await listener.next()

    assert (retry.data, first.name, first.data) == (2000, "stock", {"a": 1})
    assert (second.name, second.data) == ("changes", {"changed": {"b": 2}, "gone": []})
    assert listener.headers["content-type"].startswith("text/event-stream")
    assert listener.headers["x-accel-buffering"] == "no"


async def test_a_client_that_reconnects_gets_what_it_missed_if_the_events_have_ids(
    shop: Shop,
) -> None:
    async with shop.listen() as listener:
        first = await listener.next()
    shop.change(b=2)
    async with shop.listen(last=first.id or "") as listener:
        missed = await listener.next()
    async with shop.listen("plain") as listener:
        plain = await listener.next()

    assert (missed.name, missed.data["changed"]) == ("changes", {"b": 2})
    assert plain.id is None


@pytest.mark.parametrize("last", ["", "-", "1", "x-1", "ф", "0" * 5000])
async def test_an_unknown_event_id_gets_the_whole_state(shop: Shop, last: str) -> None:
    async with shop.listen(last=last) as listener:
        assert (await listener.next()).name == "stock"


async def test_all_viewers_of_a_key_share_one_load(shop: Shop) -> None:
    async def view(key: str, part: str, ready: asyncio.Barrier) -> Any:
        async with shop.listen(key=key, part=part) as listener:
            await listener.next()
            await ready.wait()
            return (await listener.next()).data["changed"]

    ready = asyncio.Barrier(22)
    viewers = [("north", "")] * 10 + [("north", "c")] * 10 + [("south", "")]
    seen = [asyncio.ensure_future(view(*viewer, ready)) for viewer in viewers]
    await ready.wait()
    assert sorted(shop.warehouse.loads) == [("north", True), ("south", True)]
    shop.change(b=2, c=3)

    assert await asyncio.gather(*seen) == [
        {"c": 3} if part else {"b": 2, "c": 3} for _, part in viewers
    ]
    assert sorted(shop.warehouse.loads) == [("north", True)] * 2 + [("south", True)] * 2


async def test_a_query_with_read_models_is_loaded_when_one_has_moved_and_at_heartbeats() -> None:
    shop = open_shop(stream_heartbeat_seconds=0.1)
    async with shop.listen("models") as listener:
        await listener.next()
        for _ in range(10):
            shop.doorbell.ring(PROJECTED)
            await asyncio.sleep(0.002)
        await listener.next("comment")
        shop.change(a=2)
        await listener.next()

    loads = [changed for _, changed in shop.warehouse.loads]
    assert loads.count(True) == 2
    assert 1 <= loads.count(False) <= 5


async def test_nothing_is_loaded_while_there_are_no_viewers(shop: Shop) -> None:
    async with shop.listen() as listener:
        await listener.next()
        assert shop.hub.viewers == 1
    assert shop.hub.viewers == 0
    loads = len(shop.warehouse.loads)
    shop.change(a=2)
    await asyncio.sleep(0.1)

    assert len(shop.warehouse.loads) == loads


async def test_a_silent_stream_sends_a_comment_or_the_frame_of_its_query() -> None:
    shop = open_shop(stream_heartbeat_seconds=0.02)
    async with shop.listen() as listener:
        for _ in range(3):
            await listener.next("comment")
    async with shop.listen("plain") as listener:
        parts = [await listener.part() for _ in range(5)]

    assert parts[0] == b"retry: 3000\n\n"
    assert parts[2:] == [HEARTBEAT] * 3


async def test_a_slow_client_skips_states_and_delays_no_other(shop: Shop) -> None:
    async with shop.listen() as slow, shop.listen() as quick:
        await quick.next()
        for number in range(2, 22):
            shop.change(a=number)
            assert (await quick.next()).data["changed"] == {"a": number}
        late = [await slow.next()]
        while late[-1].data.get("changed") != {"a": 21}:
            late.append(await slow.next())

    assert len(late) <= 3


async def test_one_stream_too_many_is_503_until_another_ends() -> None:
    shop = open_shop(max_streams=1)
    async with shop.listen() as listener:
        await listener.next()
        async with shop.listen() as refused:
            await refused.part()
    async with shop.listen() as again:
        await again.next()

    assert (refused.status, refused.headers["retry-after"]) == (503, "10")
    assert again.status == 200


async def test_a_stream_ends_with_its_time_with_the_session_and_with_the_process() -> None:
    async with open_shop(stream_lifetime_seconds=0.05).listen() as listener:
        await listener.next("end")
    revoked, stopping = open_shop(), open_shop()
    async with revoked.listen() as listener:
        await listener.next()
        revoked.revoked.add(CALLER.session)
        await listener.next("end")
    async with stopping.listen() as listener:
        await listener.next()
        stopping.app.state.draining = True
        await listener.next("end")


async def test_a_stream_goes_on_after_loading_failed(shop: Shop) -> None:
    async with shop.listen() as listener:
        await listener.next()
        shop.warehouse.is_away = True
        shop.change(a=2)
        await eventually(lambda: len(shop.warehouse.loads) > 1, True)
        shop.warehouse.is_away = False
        assert (await listener.next()).data["changed"] == {"a": 2}


async def test_a_query_that_cannot_be_loaded_at_first_opens_no_stream(shop: Shop) -> None:
    shop.warehouse.is_away = True
    with pytest.raises(ConnectionRefusedError):
        async with shop.hub.subscribe(LiveStock(shop.warehouse)):
            pass
    assert shop.hub.viewers == 0
