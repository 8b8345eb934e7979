"""A group whose members come and go, look up their places slowly or in vain, or are misled."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.messaging.reader import ends_of, open_reader
from tests.chaos.arena import Arena, open_arena
from tests.chaos.child import SESSION_MS
from tests.chaos.crew import Member
from tests.chaos.plan import Outcome, Plan
from tests.chaos.servers import Servers

HARDSHIPS = ((), ("slow lookup",), ("failing lookup",))
MOST_MEMBERS = 4


async def storm(servers: Servers, plan: Plan) -> Outcome:
    """Members join, leave and die all the time; some look up their places slowly or in vain."""
    async with open_arena(servers, plan) as arena:
        arena.start("relay")
        members: list[Member] = []
        async with arena.clients():
            for _ in range(plan.rounds):
                if len(members) < 2 or (len(members) < MOST_MEMBERS and arena.dice.random() < 0.6):
                    members.append(arena.start("projector", hard=arena.dice.choice(HARDSHIPS)))
                else:
                    await _leave(arena, members.pop(arena.dice.randrange(len(members))))
                await arena.moved(0, arena.dice.randint(10, 100))
        return await arena.verdict()


async def _leave(arena: Arena, member: Member) -> None:
    if arena.dice.random() < 0.5:
        member.kill()
    else:
        await member.end()


async def misled(servers: Servers, plan: Plan) -> Outcome:
    """Kafka's committed offsets point behind what was applied, or before it, and the members'
    own look-up is slow: records come from the wrong place before it is over."""
    async with open_arena(servers, plan) as arena:
        arena.start("relay")
        async with arena.clients():
            for number in range(plan.rounds):
                member = arena.start("projector")
                await arena.moved(2, 40)
                await member.end()
                await arena.moved(1, 60)
                await _mislead(arena, ahead=number % 2 == 0)
                member = arena.start("projector", hard=("slow lookup",))
                await arena.moved(2, 40)
                await member.end()
        return await arena.verdict()


async def _mislead(arena: Arena, *, ahead: bool) -> None:
    """Commit the ends of the lanes, or their beginnings, in the name of the group."""
    lab = arena.lab
    async with open_reader(lab.bootstrap, [lab.topic]) as reader:
        ends = {TopicPartition(*lane): end for lane, end in (await ends_of(reader)).items()}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=lab.bootstrap,
        group_id=f"{lab.group}.ledger",
        enable_auto_commit=False,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=SESSION_MS // 4,
    )
    await consumer.start()
    try:
        consumer.assign(list(ends))
        async with asyncio.timeout(10):
            await consumer.commit({tp: end if ahead else 0 for tp, end in ends.items()})
    finally:
        await consumer.stop()
