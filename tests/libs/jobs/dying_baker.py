"""A worker whose process is killed when it has baked a loaf and not yet recorded that."""

import asyncio
import os
import signal
import sys

from tests.libs.jobs.bakery import Loaf, open_bakery
from tests.libs.jobs.working import baker

LEASE_SECONDS = 2.0


async def main(database: str) -> None:
    async with open_bakery(database) as bakery:

        async def bake(loaf: Loaf) -> None:
            sql = "INSERT INTO baked VALUES ($1, $2, 'the dying one')"
            await bakery.system.execute(sql, loaf.tenant, loaf.number)
            os.kill(os.getpid(), signal.SIGKILL)

        await baker(bakery, bake, seconds=LEASE_SECONDS).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
