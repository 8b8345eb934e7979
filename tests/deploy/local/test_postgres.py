"""PostgreSQL is ready when it answers, survives a crash, and needs no user of its own."""

import os
import stat
from pathlib import Path

import psutil
import pytest

from deploy.local.keys import folder
from deploy.local.postgres import clear_away_crash, query, start_postgres


def test_what_was_committed_is_there_after_a_kill(home: Path) -> None:
    with start_postgres(home) as server:
        assert query(server.url, "show fsync") == "on"
        query(server.url, "create table sheep (name text); insert into sheep values ('Дося')")
        first = server.pid

        server.kill()
        server.start()

        assert query(server.url, "select name, upper(name) from sheep") == "Дося|ДОСЯ"
        assert server.pid != first


def test_it_stops_in_order_and_keeps_its_address(home: Path) -> None:
    with start_postgres(home) as server:
        url = server.url
    assert "database system is shut down" in (home / "logs" / "postgres.log").read_text()

    with start_postgres(home) as again:
        assert again.url == url
        assert query(again.url, "select current_database()") == "tillstream"


def test_a_pid_file_that_names_a_stranger_does_not_block_the_start(home: Path) -> None:
    with start_postgres(home):
        pass
    stale = home / "postgres" / "postmaster.pid"
    stale.write_text(f"{os.getppid()}\n{home / 'postgres'}\n1\n5432\n\n127.0.0.1\n1 1\nready\n")

    with start_postgres(home) as server:
        assert query(server.url, "select 1") == "1"


def test_a_server_left_behind_is_stopped_before_the_next_start(home: Path) -> None:
    with start_postgres(home) as server:
        left = psutil.Process(server.pid)

        clear_away_crash(home / "postgres")

        assert not left.is_running()


def test_nobody_else_on_the_machine_gets_in(home: Path) -> None:
    with start_postgres(home) as server:
        sockets = psutil.Process(server.pid).net_connections(kind="all")
        listening = {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN}
        assert query(server.url, "show password_encryption") == "scram-sha-256"
        assert query(server.url, "select distinct auth_method from pg_hba_file_rules") == (
            "scram-sha-256"
        )

    assert listening == {"127.0.0.1"}
    assert stat.S_IMODE(folder(home).stat().st_mode) == 0o700
    assert stat.S_IMODE((folder(home) / "postgres_password").stat().st_mode) == 0o600


def test_root_lends_the_server_another_user(home: Path) -> None:
    with start_postgres(home) as server:
        user = psutil.Process(server.pid).uids().real

    assert user != 0
    assert (user == os.geteuid()) is (os.geteuid() != 0)


def test_a_database_of_ones_own_is_empty(database: str) -> None:
    assert query(database, "select count(*) from pg_tables where schemaname = 'public'") == "0"
    query(database, "create table only_here (id int)")


@pytest.mark.parametrize("time", [1, 2])
def test_databases_of_two_tests_do_not_meet(database: str, time: int) -> None:
    query(database, "create table mine (id int)")
