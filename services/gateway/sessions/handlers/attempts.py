"""Limits on attempts to log in, by account and by network.

Attempts are limited for an account in a network, and failures for a network. A limit affects its
own network only, and not the accounts that logged in from it before. Passwords from networks with
a successful login are hashed first.
"""

from dataclasses import dataclass, field
from typing import Final

from libs.errors import TooManyRequests
from libs.process.fair_queue import Source
from services.gateway.accounts.handlers.identity import Identity
from services.gateway.doors.domain.door import Limit
from services.gateway.doors.domain.network import network_of
from services.gateway.doors.stores import Exceeded, Limits
from services.gateway.sessions.stores import known_networks

FAILURES: Final = "failures"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempts:
    """The attempts from one network address.

    `known_lately` are the digests of known networks that need no renewal; `begin` fills it.
    """

    identity: Identity
    limits: Limits
    address: str
    known_lately: set[str] = field(default_factory=set)

    async def count(self, limit: Limit, what: str) -> None:
        """Count an attempt on `what` from this address. Raises TooManyRequests."""
        key = self.identity.seal.digest("login", what)
        _check(await self.limits.hit(limit, key=key, address=self.address))

    async def begin(self, account: str) -> Source:
        """Count an attempt to log in to an account; the queue for its hashing.

        `account` is its id, or the digest of an address without an account. Raises TooManyRequests,
        Unavailable.
        """
        await self.count(Limit.LOGIN, account)
        here, pair = self._digests(account)
        now = self.identity.clock()
        known = await known_networks.known(self.identity.pool, (here, pair), now)
        self.known_lately.update(digest for digest, lately in known.items() if lately)
        if pair not in known:
            await self.check_failures()
        return Source(here, trusted=here in known)

    async def check_failures(self) -> None:
        """Raise TooManyRequests after too many failures from this network."""
        key, address = FAILURES, self.address
        _check(await self.limits.test(Limit.FAILED_LOGIN, key=key, address=address))

    async def failed(self) -> None:
        """Count a failed attempt. Raises TooManyRequests after too many from this network."""
        _check(await self.limits.hit(Limit.FAILED_LOGIN, key=FAILURES, address=self.address))

    async def succeeded(self, account: str) -> None:
        """Remember the network as known for the account. Raises Unavailable."""
        digests = self._digests(account)
        if not self.known_lately.issuperset(digests):
            await known_networks.remember(self.identity.pool, digests, self.identity.clock())

    def newcomer(self) -> Source:
        """The queue for the hashing of a new account's password."""
        return Source(f"newcomers {network_of(self.address)}")

    def _digests(self, account: str) -> tuple[str, str]:
        """The digests of the network, and of the account in the network."""
        network, digest = network_of(self.address), self.identity.seal.digest
        return digest("network", network), digest("network of account", f"{account} {network}")


def _check(over: Exceeded | None) -> None:
    if over is not None:
        raise TooManyRequests(retry_after_seconds=over.retry_after, limit=over.limit)
