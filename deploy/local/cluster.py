"""Make a new PostgreSQL cluster, all of it or nothing, and the login that programs use there."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.local.child import User
from deploy.local.trouble import CannotStart

PROGRAM_SECONDS = 120
HANDED_OVER = "tillstream_owner.done"
"""Stands in a cluster whose database belongs to the login of the programs."""

# What an older installation made as a superuser; everything else belongs to Postgres itself.
HAND_OVER = """
DO $$ DECLARE one record; BEGIN
FOR one IN SELECT format('SCHEMA %I', nspname) AS what FROM pg_namespace
 WHERE oid >= 16384 AND nspname !~ '^pg_'
 UNION ALL SELECT format('TABLE %s', oid::regclass) FROM pg_class
 WHERE oid >= 16384 AND relkind IN ('r', 'p', 'v', 'm')
 UNION ALL SELECT format('SEQUENCE %s', s.oid::regclass) FROM pg_class AS s
 WHERE s.oid >= 16384 AND s.relkind = 'S' AND NOT EXISTS (SELECT FROM pg_depend AS d
 WHERE d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
 UNION ALL SELECT format('ROUTINE %s', oid::regprocedure) FROM pg_proc WHERE oid >= 16384
LOOP EXECUTE 'ALTER ' || one.what || ' OWNER TO {owner}'; END LOOP;
FOR one IN SELECT rolname AS name FROM pg_roles WHERE rolname ~ '^tillstream_' AND NOT rolcanlogin
LOOP EXECUTE format('GRANT %I TO {owner} WITH ADMIN TRUE, INHERIT FALSE, SET TRUE', one.name);
END LOOP; END $$"""


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


def hand_over(
    data: Path, binaries: Path, *, user: User | None, owner: str, password: Path, database: str
) -> None:
    """Let `owner` log in and own `database` with all that is in it; once for a cluster.

    The owner may make roles and migrate, and is no superuser: rows of tenants are fenced from it as
    well. The server must not run. `password` is the file with its password. Raises `CannotStart`.
    """
    done = data / HANDED_OVER
    if done.exists():
        return
    create = f"CREATE ROLE {owner} LOGIN CREATEROLE NOSUPERUSER NOBYPASSRLS NOREPLICATION"
    statements = (
        f"DO $$ BEGIN IF to_regrole('{owner}') IS NULL THEN {create}; END IF; END $$",
        f"ALTER ROLE {owner} PASSWORD '{password.read_text()}'",
        f'ALTER DATABASE "{database}" OWNER TO {owner}',
        " ".join(HAND_OVER.format(owner=owner).split()),
    )
    # A statement a line; at the first that fails it ends.
    quiet = ("-c", "exit_on_error=on", "-c", "log_min_error_statement=panic")
    single = (str(binaries / "postgres"), "--single", *quiet, "-D", str(data), database)
    _run(single, user, typed="".join(f"{one}\n" for one in statements))
    done.touch(mode=0o600)
    if user is not None:
        os.chown(done, user.uid, user.gid)


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
