"""Make a new PostgreSQL cluster: all of it or nothing."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.local.child import User
from deploy.local.trouble import CannotStart

PROGRAM_SECONDS = 120


def create_cluster(
    data: Path, binaries: Path, *, user: User | None, role: str, password: Path, database: str
) -> None:
    """Put a cluster with one superuser `role` and one `database` into `data`.

    Built beside it and renamed at the end, so that an interrupted start leaves no half cluster.
    `password` is the file with the role's password. Raises `CannotStart`.
    """
    draft = data.with_name(f"{data.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if user is not None:
        os.chown(draft, user.uid, user.gid)
    with tempfile.NamedTemporaryFile("w") as readable:
        # The user we lend to the server cannot read our secrets.
        readable.write(password.read_text())
        readable.flush()
        if user is not None:
            os.chown(readable.name, user.uid, user.gid)
        _initdb(draft, binaries / "initdb", user, role=role, password=Path(readable.name))
    single = (str(binaries / "postgres"), "--single", "-D", str(draft), "postgres")
    _run(single, user, typed=f'CREATE DATABASE "{database}"\n')
    draft.rename(data)


def _initdb(draft: Path, initdb: Path, user: User | None, *, role: str, password: Path) -> None:
    """UTF-8 with the built-in locale: the same order and case mapping on every system."""
    options = (
        "--auth=scram-sha-256",
        f"--username={role}",
        f"--pwfile={password}",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    )
    _run((str(initdb), "-D", str(draft), *options), user)


def _run(command: tuple[str, ...], user: User | None, *, typed: str = "") -> None:
    done = subprocess.run(
        command,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        timeout=PROGRAM_SECONDS,
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
    )
    if done.returncode != 0:
        raise CannotStart(
            f"{Path(command[0]).name} could not make the database: {done.stderr.strip()[-600:]}",
            remedy="Check that the disk has room and that the folder above may be written to.",
        )
