"""Clients in Python with real servers of the host, in a network namespace, over a TAP device."""

import asyncio
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from own_process import in_own_process
from programs import (
    HOST,
    TIMEOUT_S,
    both_ways,
    check_stack,
    join_host,
    load,
    needs_namespace,
    server,
)
from required import library, program

pytestmark = needs_namespace

TABLES = Path("/usr/share/mysql")


def redis_server(directory: str) -> Any:
    """The server's program is in redis-tools, too, which brings no service."""
    link = Path(directory, "redis-server")
    link.symlink_to(program("redis-check-rdb", "redis-tools"))
    command = (str(link), "--bind", HOST, "--port", "6379", "--save", "", "--dir", directory)
    return server((*command, "--protected-mode", "no"), "Ready to accept connections")


@both_ways
@in_own_process
def test_redis(namespace: str, when: str, tmp_path: Path) -> None:
    join_host()
    (redis,) = load(when, "redis", policy="default")
    with redis_server(tmp_path), redis.Redis(HOST, socket_timeout=TIMEOUT_S) as client:
        value = os.urandom(3_000_000)
        client.set("key", value)
        assert client.get("key") == value
        pipeline = client.pipeline()
        for _ in range(1000):
            pipeline.incr("counter")
        assert pipeline.execute()[-1] == 1000
        with client.pubsub() as subscriber:
            subscriber.subscribe("news")
            assert subscriber.get_message(timeout=TIMEOUT_S)["type"] == "subscribe"
            client.publish("news", "told")
            assert subscriber.get_message(timeout=TIMEOUT_S)["data"] == b"told"
        check_stack()


@both_ways
@in_own_process
def test_redis_in_an_event_loop(namespace: str, when: str, tmp_path: Path) -> None:
    join_host()
    load(when, "redis", "redis.asyncio:redis", policy="default")
    from redis.asyncio import Redis

    async def main() -> None:
        async with Redis(host=HOST, socket_timeout=TIMEOUT_S) as client:
            counts = await asyncio.gather(*(client.incr("counter") for _ in range(50)))
            assert sorted(counts) == list(range(1, 51))

    with redis_server(tmp_path):
        asyncio.run(main())
        check_stack()


def mariadb_server(directory: str) -> Any:
    mariadbd = program("mariadbd", "mariadb-server-core")
    data = Path(directory, "data")
    data.mkdir()
    common = (mariadbd, "--no-defaults", f"--user={os.environ.get('USER', 'root')}")
    common += (f"--datadir={data}", "--innodb-buffer-pool-size=16M")
    tables = "".join(
        (TABLES / name).read_text()
        for name in ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
    )
    made = subprocess_run([*common, "--bootstrap"], f"CREATE DATABASE mysql;\nUSE mysql;\n{tables}")
    assert made.returncode == 0, made.stderr
    setup = Path(directory, "setup.sql")
    setup.write_text(
        "FLUSH PRIVILEGES;\n"
        "CREATE USER app IDENTIFIED BY 'secret';\n"
        "CREATE DATABASE app;\n"
        "GRANT ALL ON app.* TO app;\n"
    )
    files = (f"--socket={directory}/socket", f"--pid-file={directory}/pid", f"--init-file={setup}")
    return server((*common, *files, f"--bind-address={HOST}"), "ready for connections")


def subprocess_run(command: list[str], text: str) -> Any:
    import subprocess

    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=TIMEOUT_S)


@both_ways
@in_own_process
def test_pymysql(namespace: str, when: str, tmp_path: Path) -> None:
    join_host()
    (pymysql,) = load(when, "pymysql:PyMySQL", policy="default")
    with mariadb_server(tmp_path):
        database = pymysql.connect(
            host=HOST, user="app", password="secret", database="app", read_timeout=TIMEOUT_S
        )
        with database, database.cursor() as cursor:
            cursor.execute("CREATE TABLE t (n INT PRIMARY KEY, b LONGBLOB)")
            value = os.urandom(1_000_000)
            cursor.execute("INSERT INTO t VALUES (1, %s)", (value,))
            cursor.executemany("INSERT INTO t VALUES (%s, '')", [(n,) for n in range(2, 500)])
            database.commit()
            cursor.execute("SELECT b FROM t WHERE n = 1")
            assert cursor.fetchone() == (value,)
            cursor.execute("SELECT COUNT(*), SUM(n) FROM t")
            assert cursor.fetchone() == (499, 124750)
        check_stack()


@both_ways
@in_own_process
def test_dnsmasq(namespace: str, when: str, tmp_path: Path) -> None:
    """Names that a program asks for come from a real name server, through the stack."""
    library("dns.resolver", "dnspython")
    join_host()
    load(when, "urllib3", policy="default")
    import lklsock

    stack = lklsock.default_stack()
    stack.dns = lklsock.dns.Config(nameservers=[HOST], search=["example"], hosts="/dev/null")
    records = [f"--host-record=www.example,{HOST},fd00::1", "--cname=alias.example,www.example"]
    records += [f"--host-record=many.example,10.8.0.{n}" for n in range(1, 120)]
    command = [program("dnsmasq", "dnsmasq-base"), "--keep-in-foreground", "--log-facility=-"]
    command += ["--conf-file=/dev/null", "--no-resolv", "--no-hosts", f"--listen-address={HOST}"]
    command += ["--bind-interfaces", "--user=root", f"--pid-file={tmp_path}/pid", "--log-queries"]
    with server([*command, *records], "started"):
        found = socket.getaddrinfo("alias", 80, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
        assert sorted(info[4][0] for info in found) == [HOST, "fd00::1"]
        assert found[0][3] == "www.example"
        assert socket.gethostbyaddr(HOST)[0] == "www.example"
        assert len(socket.gethostbyname_ex("many")[2]) == 119
        with pytest.raises(socket.gaierror):
            socket.gethostbyname("missing")
        # Its TCP port, by name.
        with socket.create_connection(("www", 53), TIMEOUT_S) as sock:
            assert sock.getpeername() == (HOST, 53)
        loop_found = asyncio.run(in_loop())
        assert loop_found[0][4] == (HOST, 80)
    check_stack()


async def in_loop() -> Any:
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo("www", 80, family=socket.AF_INET, type=socket.SOCK_STREAM)


def relay(listener: Any, connect: Any) -> list[threading.Thread]:
    """Passes what comes to a listener on to connections that `connect()` makes.

    Returns:
        The threads of the connections so far.
    """

    def pump(source: Any, sink: Any) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def carry(near: Any) -> None:
        with near, connect() as far:
            back = threading.Thread(target=pump, args=(far, near), daemon=True)
            back.start()
            pump(near, far)
            back.join()

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            carriers.append(threading.Thread(target=carry, args=(near,), daemon=True))
            carriers[-1].start()

    carriers: list[threading.Thread] = []
    threading.Thread(target=accept, daemon=True).start()
    return carriers
