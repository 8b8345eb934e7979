"""The embedded servers are ready when they answer, survive a crash, and stop in order."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.cluster import HANDED_OVER
from deploy.local.jars import LOCK, read_lock
from deploy.local.kafka import is_answering, start_kafka
from deploy.local.keys import folder
from deploy.local.postgres import clear_away_crash, query, start_postgres
from libs.messaging.reader import open_reader
from libs.messaging.topics import TopicSpec, ensure_topics
from libs.postgres.migrate import migrate
from tests.deploy.conftest import lent_folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A folder whose database is made once and started by every test."""
    with lent_folder() as path:
        yield path


def test_committed_data_survives_a_kill(cluster: Path) -> None:
    with start_postgres(cluster) as server:
        assert query(server.url, "show fsync") == "on"
        query(server.url, "create table sheep (name text); insert into sheep values ('Дося')")
        first = server.pid

        server.kill()
        server.start()

        assert query(server.url, "select name, upper(name) from sheep") == "Дося|ДОСЯ"
        assert server.pid != first


def test_a_server_stops_in_order_and_keeps_its_address(cluster: Path) -> None:
    with start_postgres(cluster) as server:
        url = server.url
    assert "database system is shut down" in (cluster / "logs" / "postgres.log").read_text()

    with start_postgres(cluster) as again:
        assert again.url == url
        assert query(again.url, "select current_database()") == "tillstream"


def test_a_pid_file_of_another_program_does_not_block_the_start(cluster: Path) -> None:
    with start_postgres(cluster):
        pass
    stale = cluster / "postgres" / "postmaster.pid"
    stale.write_text(f"{os.getppid()}\n{cluster / 'postgres'}\n1\n5432\n\n127.0.0.1\n1 1\nready\n")

    with start_postgres(cluster) as server:
        assert query(server.url, "select 1") == "1"


def test_a_server_left_behind_is_stopped_before_the_next_start(cluster: Path) -> None:
    with start_postgres(cluster) as server:
        left = psutil.Process(server.pid)

        clear_away_crash(cluster / "postgres")

        assert not left.is_running()


RIGHTS = """select rolsuper, rolbypassrls, rolreplication, rolcreaterole from pg_roles
where rolname = current_user"""
OF_ANOTHER_TENANT = """begin; set local tillstream.tenant = 'demo';
insert into gateway.key_use values ('other', gen_random_uuid(), now()); commit"""


def test_row_level_security_holds_for_the_owner_that_programs_log_in_as(cluster: Path) -> None:
    with start_postgres(cluster) as server:
        assert query(server.superuser_url, RIGHTS) == "t|t|t|t"
        assert query(server.url, RIGHTS) == "f|f|f|t"
        for service in ("gateway", "ingest", "scale_bridge"):
            migrate(service, server.url)

        assert query(server.url, "set role tillstream_ingest; select current_user") == (
            "tillstream_ingest"
        )
        query(server.url, OF_ANOTHER_TENANT.replace("'other'", "'demo'"))
        assert query(server.url, "select count(*) from gateway.key_use") == "0"
        assert query(server.superuser_url, "select count(*) from gateway.key_use") == "1"
        for forbidden in (
            OF_ANOTHER_TENANT,
            "create role eve superuser",
            "alter role tillstream_owner bypassrls",
            "copy (select 1) to program 'true'",
            "select pg_read_file('postgresql.conf')",
        ):
            with pytest.raises(subprocess.CalledProcessError):
                query(server.url, forbidden)


def test_data_of_an_older_installation_is_handed_over_once(cluster: Path) -> None:
    with start_postgres(cluster) as server:
        query(
            server.superuser_url,
            """create schema shed; create table shed.tool (id bigserial, name text);
            create sequence shed.number; create view shed.tools as select name from shed.tool;
            create function shed.one() returns int language sql as 'select 1';
            create role tillstream_shed; grant usage on schema shed to tillstream_shed;
            alter database tillstream owner to tillstream""",
        )
    (cluster / "postgres" / HANDED_OVER).unlink()

    for _ in range(2):
        with start_postgres(cluster) as server:
            query(server.url, "alter table shed.tool add column if not exists weight int")
            query(server.url, "select nextval('shed.number') from shed.tools")
            assert query(server.url, "set role tillstream_shed; select shed.one()") == "1"
            query(server.url, "create schema more; drop schema more")


def test_other_users_of_the_machine_cannot_log_in(cluster: Path) -> None:
    with start_postgres(cluster) as server:
        sockets = psutil.Process(server.pid).net_connections(kind="all")
        listening = {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN}
        assert query(server.url, "show password_encryption") == "scram-sha-256"
        methods = "select distinct auth_method from pg_hba_file_rules"
        assert query(server.superuser_url, methods) == "scram-sha-256"

    assert listening == {"127.0.0.1"}
    assert stat.S_IMODE(folder(cluster).stat().st_mode) == 0o700
    assert stat.S_IMODE((folder(cluster) / "postgres_password").stat().st_mode) == 0o600


def test_root_runs_the_server_as_another_user(cluster: Path) -> None:
    with start_postgres(cluster) as server:
        user = psutil.Process(server.pid).uids().real

    assert user != 0
    assert (user == os.geteuid()) is (os.geteuid() != 0)


async def produce(bootstrap: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        await producer.send_and_wait("t.shop.scan", value)


@pytest.mark.slow
async def test_acknowledged_records_survive_a_kill(home: Path) -> None:
    with start_kafka(home) as server:
        spec = TopicSpec(category="shop.scan", partitions=1, retention_days=1)
        await ensure_topics(server.bootstrap, "t", [spec])
        await produce(server.bootstrap, b"before")

        server.kill()
        assert not is_answering(server.bootstrap)
        server.start()
        await produce(server.bootstrap, b"after")

        async with open_reader(server.bootstrap, ["t.shop.scan"]) as reader:
            await reader.seek_to_beginning()
            read = [(await reader.getone()).value for _ in range(2)]
        assert read == [b"before", b"after"]
    assert "shut down" in (home / "logs" / "kafka.log").read_text()


def test_the_lock_names_coordinates_and_hashes_and_no_address() -> None:
    locked = read_lock(LOCK)

    assert "kafka_2.13-4.3.1.jar" in locked
    assert all(len(digest) == 64 for digest in locked.values())
    assert "://" not in LOCK.read_text()
