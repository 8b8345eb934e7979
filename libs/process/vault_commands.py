"""The vault's commands: forget persons, replay that after a restore, rotate keys, purge."""

import getpass
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from libs.postgres.personal import Postponed
from libs.postgres.vault_keys import VaultKeys
from libs.process.database_command import AWAY, Faults, exit_with, open_service_pool
from libs.process.vault_purge import purge_as_owner
from libs.security.data_keys import Receipt, ServiceKeys, Subject, Tombstone
from libs.security.sealing import SealBroken
from libs.security.vault import Vault

if TYPE_CHECKING:
    from libs.process.service import Service

FAULTS: Final[Faults] = {**AWAY, SealBroken: "Nothing was changed: ", Postponed: "Not purged: "}
EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

Tenant = Annotated[str, typer.Argument(help="The tenant.")]
Person = Annotated[str, typer.Argument(help="The person's id, by which the vault has their key.")]
Since = Annotated[datetime, typer.Option(help="By the clock of UTC.")]
Receipts = Annotated[
    Path, typer.Argument(help="The output of `vault forgotten`.", exists=True, dir_okay=False)
]


def vault_commands(service: "Service[Any]") -> typer.Typer:
    """`vault forget | forgotten | replay | rewrap | purge`."""
    app = typer.Typer(no_args_is_help=True, help="The keys of persons, and how to forget them.")

    @app.command()
    def forget(tenant: Tenant, person: Person) -> None:
        """Destroy a person's key and erase them from the read models; print the receipt.

        It cannot be undone. Safe to repeat.
        """
        exit_with(_forget(service, Subject(tenant, person)), FAULTS)

    @app.command()
    def forgotten(since: Since = EVER) -> None:
        """Print the receipts of the forgotten, one per line: store them with the backups."""
        exit_with(_list_forgotten(service, since), FAULTS)

    @app.command()
    def replay(receipts: Receipts) -> None:
        """Forget those persons again, in a restored database that is not in use yet."""
        exit_with(_replay(service, [*_read(receipts)]), FAULTS)

    @app.command()
    def rewrap() -> None:
        """Wrap every person's key with the service's first key; then the others may be dropped."""
        exit_with(_rewrap(service), FAULTS)

    @app.command("purge")
    def purge_files() -> None:
        """Rewrite the tables, so that no file holds what was forgotten. Blocks their users."""
        exit_with(_purge(service), FAULTS)

    return app


async def _forget(service: "Service[Any]", subject: Subject) -> int:
    user = f"{getpass.getuser()}@{socket.gethostname()}"
    async with open_service_pool(service, "vault") as pool:
        vault = _vault(service, pool)
        receipt = await vault.forget(subject, by=user, at=datetime.now(UTC))
    typer.echo(receipt_line(receipt))
    return 0


async def _list_forgotten(service: "Service[Any]", since: datetime) -> int:
    if since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    async with open_service_pool(service, "vault") as pool:
        for receipt in await _vault(service, pool).forgotten_since(since):
            typer.echo(receipt_line(receipt))
    return 0


async def _replay(service: "Service[Any]", receipts: list[Receipt]) -> int:
    async with open_service_pool(service, "vault") as pool:
        count = await _vault(service, pool).replay(receipts)
    Console().print(f"{count} persons are forgotten")
    return 0


async def _rewrap(service: "Service[Any]") -> int:
    async with open_service_pool(service, "vault") as pool:
        count = await _vault(service, pool).rewrap()
    Console().print(f"{count} keys wrapped anew")
    return 0


async def _purge(service: "Service[Any]") -> int:
    done = await purge_as_owner(service.name, service.read_settings(), service.personal)
    Console().print(f"{done.persons} persons purged from {len(done.tables)} tables")
    return 0


def _vault(service: "Service[Any]", pool: Any) -> Vault:
    settings = service.read_settings()
    return Vault(VaultKeys(pool, service.personal), ServiceKeys(settings.sealing_keys))


def receipt_line(receipt: Receipt) -> str:
    """A receipt as a line of JSON, as `vault replay` reads it."""
    subject = receipt.tombstone.subject
    return json.dumps(
        {
            "tenant": subject.tenant,
            "subject": subject.id,
            "forgotten_at": receipt.tombstone.at.isoformat(),
            "forgotten_by": receipt.tombstone.by,
            "signature": receipt.signature,
        },
        ensure_ascii=False,
    )


def _read(file: Path) -> Iterator[Receipt]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            subject = Subject(fields["tenant"], fields["subject"])
            at = datetime.fromisoformat(fields["forgotten_at"])
            yield Receipt(Tombstone(subject, at, fields["forgotten_by"]), fields["signature"])
        except (ValueError, KeyError, TypeError) as error:
            raise typer.BadParameter(f"line {number} of {file} is not a receipt") from error
