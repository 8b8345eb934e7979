"""The platform and the day together: `make demo`."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from deploy.demo.day import (
    Address,
    ConcurrentWork,
    Day,
    Manner,
    Verdict,
    no_concurrent_work,
)
from deploy.demo.fleet import PROGRAM, Scale, fleet_program, new_fleet, running_fleet
from deploy.demo.performance import Performance
from deploy.demo.plan import DAY_SECONDS, plan_day
from deploy.demo.report import progress, show
from deploy.demo.scales import office_work, scales_hint
from deploy.demo.shop.day import ShopTask, shop_beside
from deploy.demo.shop.plan import plan_shop
from deploy.demo.shop.staff import shop_hint
from deploy.local import keys
from deploy.local.interruption import Interruption
from deploy.local.settings import LocalSettings
from deploy.local.stack import Stack
from deploy.local.trouble import CannotStart, Interrupted
from deploy.local.view import table, watch

PROGRESS_SECONDS: Final = 3.0
CLIENT_KEY: Final = "scan_client_key"


def new_day(
    address: Address,
    manner: Manner,
    console: Console,
    *,
    seed: int,
    operators: int,
    ends_at: datetime | None = None,
    work_of: Callable[[str], ConcurrentWork] = lambda _: no_concurrent_work,
) -> Day:
    """The day that ends now, or at that moment. `work_of` is given its tag, and returns what is
    done beside the scanning."""
    ends_at = ends_at or datetime.now(UTC).replace(microsecond=0)
    plan = plan_day(seed, ends_at=ends_at, operators=operators)
    count = sum(1 for _ in plan.events())
    console.print(
        f"A day of {operators} people and {count:,} events, marked {plan.tag} "
        f"(SEED={seed}, ends at {ends_at.isoformat()}) …"
    )
    return Day(plan, address, manner, tell=console.print, concurrent_work=work_of(plan.tag))


def follow(
    day: Day, console: Console, keep_running: Callable[[Callable[[], bool]], None], *above: Any
) -> Verdict | None:
    """Play the day while `keep(until)` keeps everything else going; print how it came out.

    `above` are functions whose renderings stand over the figures on a terminal. None if it was
    broken off or `keep_running` ended before; raises what the day raises.
    """
    with Performance(day) as performance:
        if console.is_terminal:
            with Live(
                console=console,
                get_renderable=lambda: _view(day, above),
                refresh_per_second=4,
                transient=True,
            ):
                keep_running(performance.over)
        else:
            keep_running(_printing_progress(day, console, performance.over))
        finished = performance.over()
    if performance.trouble is not None:
        raise performance.trouble
    if not finished or performance.verdict is None:
        return None
    show(performance.verdict, console)
    return performance.verdict


def open_house(
    settings: LocalSettings,
    manner: Manner,
    console: Console,
    *,
    seed: int,
    operators: int,
    ends_at: datetime | None,
    once: bool,
) -> bool:
    """Start the platform, play a day, stay up unless `once`, stop; whether everything agreed.

    Raises `AlreadyRunning`, `CannotStart`, `Interrupted`, `NoAnswer`, `GaveUp`.
    """
    interruption = Interruption()
    interruption.listen()
    with Stack(settings, tell=console.print, interruption=interruption) as stack:
        stack.up()
        address = Address(url=stack.gateway_url, key=client_key(settings.home).read_text())
        scales = new_fleet(settings.home)
        fleet = fleet_program(settings.home, scales)
        stack.supervisor.start(fleet, interrupted=interruption.stopping)
        work_of = partial(
            _work_beside, settings.home, address.url, scales=scales, manner=manner, seed=seed
        )
        day = new_day(
            address,
            manner,
            console,
            seed=seed,
            operators=operators,
            ends_at=ends_at,
            work_of=work_of,
        )
        verdict = _play(day, stack, console, settings.home)
        if not once:
            console.print("Everything stays up for looking around; Ctrl-C stops it.")
            watch(stack, console)
        console.print("Stopping …")
    return verdict.agrees


def _play(day: Day, stack: Stack, console: Console, home: Path) -> Verdict:
    """Play the day on a running stack and print its result. Raises `Interrupted`."""
    verdict = follow(
        day,
        console,
        lambda until: stack.watch(until=until),
        lambda: table(stack.supervisor.slots, stack.observer),
    )
    if verdict is None:
        raise Interrupted
    stack.publish({"demo": facts(day, verdict)})
    for line in directions(day, stack.gateway_url, client_key(home)):
        console.print(line)
    for line in (*scales_hint(stack.gateway_url, home), *shop_hint(stack.gateway_url)):
        console.print(line)
    return verdict


def keep_waiting(until: Callable[[], bool]) -> None:
    """Nothing else to keep going."""
    while not until():
        time.sleep(0.1)


def client_key(home: Path) -> Path:
    """The file with the key that devices and dashboards send."""
    return keys.token(home, CLIENT_KEY)


def address_in(runtime: Mapping[str, Any]) -> Address:
    """The gateway of an installation that runs already.

    Raises `CannotStart` if it is not one of the demo profile, or not up yet.
    """
    urls, known = runtime.get("urls", {}), runtime.get("keys", {})
    url = urls.get("gateway") or urls.get("gateway-api")
    if not url or CLIENT_KEY not in known:
        raise CannotStart(
            "Something runs here already, but no gateway with a key for the simulated devices.",
            remedy="`make status` tells more. Stop it with `make down`, then `make demo` again.",
        )
    return Address(url=url, key=known[CLIENT_KEY])


def work_in(
    runtime: Mapping[str, Any], home: Path, url: str, manner: Manner, *, seed: int
) -> Callable[[str], ConcurrentWork]:
    """What is done beside the scanning, if the demo's scales run there as well."""
    if PROGRAM not in runtime.get("processes", {}):
        return lambda _: no_concurrent_work
    return partial(_work_beside, home, url, scales=running_fleet(home), manner=manner, seed=seed)


def _work_beside(
    home: Path, url: str, tag: str, *, scales: list[Scale], manner: Manner, seed: int
) -> ConcurrentWork:
    """The office with its scales, and the florist's shop."""
    office = office_work(tag, home=home, url=url, scales=scales, manner=manner)
    plan = plan_shop(seed, tag=tag, seconds=DAY_SECONDS)
    task = ShopTask(home=home, url=url, plan=plan, scales=scales, manner=manner)
    return shop_beside(office, task)


def facts(day: Day, verdict: Verdict) -> dict[str, object]:
    """The day for `runtime.json`."""
    return {
        "seed": day.plan.seed,
        "tag": day.plan.tag,
        "ends_at": day.plan.ends_at.isoformat(),
        "events": verdict.figures.planned_events,
        "agrees": verdict.agrees,
    }


def directions(day: Day, url: str, key_file: Path) -> list[str]:
    """Hints for the user."""
    ends_at, operator = day.plan.ends_at, day.plan.devices[0].operator
    days = f"date={ends_at.date()}"
    ask = f'curl -s -H "X-API-Key: $(cat {key_file})"'
    return [
        "",
        f"Gateway   {url}",
        f"Key file  {key_file}",
        "",
        f"  {ask} '{url}/api/v1/dashboard/state?{days}'",
        f"  {ask} '{url}/api/v1/dashboard/state?{days}&operator={operator}'",
        f"  {ask} '{url}/api/v1/dashboard/raw?{days}&type=ERROR&limit=5'",
        f"  {ask} '{url}/api/v1/quarantine?limit=5'",
        "",
    ]


def _view(day: Day, above: tuple[Callable[[], RenderableType], ...]) -> RenderableType:
    return Group(*(each() for each in above), Text(progress(day)))


def _printing_progress(day: Day, console: Console, until: Callable[[], bool]) -> Callable[[], bool]:
    printed_at = time.monotonic()

    def should_stop() -> bool:
        nonlocal printed_at
        if time.monotonic() - printed_at >= PROGRESS_SECONDS:
            printed_at = time.monotonic()
            console.print(progress(day))
        return until()

    return should_stop
