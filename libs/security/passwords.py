"""Passwords: Argon2id, in a few threads of its own, so that hashing does not block the loop."""

import asyncio
import os
import secrets
import sys
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error

from libs.process.fair_queue import FairQueue, Source

Answer = TypeVar("Answer")

PARALLEL: Final = 2
WAITING: Final = 200
PER_SOURCE: Final = 50
PATIENCE_SECONDS: Final = 10.0
NICENESS: Final = 5
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
OWN: Final = Source("", trusted=True)
"""The source of work that no anonymous caller causes: ours, and that of people logged in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The cost of computing a hash; by default what OWASP recommends, 19 MiB.

    RFC 9106 recommends `memory_kib=65536, iterations=3, lanes=4`, which takes 64 MiB per thread.
    """

    memory_kib: int = 19 * 1024
    iterations: int = 2
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password is right, and whether its hash should be renewed at today's cost."""

    right: bool
    outdated: bool = False


WRONG: Final = Verdict(right=False)


class Passwords:
    """Hashes and verifies passwords, `parallel` at a time; the others wait in a `FairQueue`.

    Use it from one event loop, and close it.
    """

    def __init__(
        self,
        *,
        parallel: int = PARALLEL,
        waiting: int = WAITING,
        per_source: int = PER_SOURCE,
        patience_seconds: float = PATIENCE_SECONDS,
        cost: Cost | None = None,
    ) -> None:
        self._hasher = _hasher(cost or Cost())
        self._threads = ThreadPoolExecutor(
            parallel, thread_name_prefix="passwords", initializer=_yield_to_others
        )
        self._queue = FairQueue(
            "passwords",
            parallel=parallel,
            max_waiting=waiting,
            per_source=per_source,
            timeout_seconds=patience_seconds,
        )
        self._dummy_hash = _new_dummy_hash(cost or Cost())

    async def hash(self, password: str, *, source: Source = OWN) -> str:
        """The password's Argon2id hash, in the PHC string format. Raises as `FairQueue`."""
        return await self._run(partial(self._hasher.hash, _encoded(password)), source)

    async def verify(self, hashed: str, password: str, *, source: Source = OWN) -> Verdict:
        """Whether `hashed` is the hash of `password`; if it is no Argon2id hash, `verify_dummy`.

        Raises as `FairQueue`, which says nothing about the password.
        """
        if not hashed.startswith("$argon2id$"):
            return await self.verify_dummy(password, source=source)
        return await self._run(partial(_verdict, self._hasher, hashed, _encoded(password)), source)

    async def verify_dummy(self, password: str, *, source: Source = OWN) -> Verdict:
        """Hash a dummy password: for an account that does not exist or has no password.

        Takes as long as `verify` with a hash of today's cost, so that the time does not reveal
        whether the account exists, as long as outdated hashes are renewed. Always wrong.
        """
        work = partial(_verdict, self._hasher, self._dummy_hash, _encoded(password))
        await self._run(work, source)
        return WRONG

    def close(self) -> None:
        """Let the threads end when their present work is done; queued work is cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], Answer], source: Source) -> Answer:
        await self._queue.acquire(source)
        computing = asyncio.get_running_loop().run_in_executor(self._threads, work)
        # A thread cannot be interrupted: the slot is free when the thread is done, not when the
        # caller is cancelled. Otherwise such callers would fill the queue of the pool itself.
        computing.add_done_callback(lambda _: self._queue.release())
        return await asyncio.shield(computing)


def _yield_to_others() -> None:
    """Lower the priority of this thread, since a hash takes a core for long."""
    # Only Linux has priorities of single threads.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)


def _hasher(cost: Cost) -> PasswordHasher:
    return PasswordHasher(
        time_cost=cost.iterations,
        memory_cost=cost.memory_kib,
        parallelism=cost.lanes,
        salt_len=SALT_BYTES,
        hash_len=HASH_BYTES,
    )


def _verdict(hasher: PasswordHasher, hashed: str, password: bytes) -> Verdict:
    try:
        hasher.verify(hashed, password)
    except (Argon2Error, ValueError):
        return WRONG
    return Verdict(right=True, outdated=hasher.check_needs_rehash(hashed))


def _new_dummy_hash(cost: Cost) -> str:
    """A hash that no password has; making it takes no time."""
    salt, digest = (
        b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()
        for size in (SALT_BYTES, HASH_BYTES)
    )
    shape = f"m={cost.memory_kib},t={cost.iterations},p={cost.lanes}"
    return f"$argon2id$v=19${shape}${salt}${digest}"


def _encoded(password: str) -> bytes:
    """NFKC: one spelling for characters that look the same, however a keyboard composes them."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
