"""Who may use the proxy, and what may be asked of it."""

import asyncio
import base64
import ipaddress
import logging
import time
from pathlib import Path

import pytest
from proxied import OK, answering, ask, client, head, proxying, run, serving, status_of

from lklsock.proxy import Guard, Users
from lklsock.proxy.guard import parse_ports
from lklsock.proxy.settings import parse_address
from lklsock.proxy.users import hash_password, read_hashes

SECRET = "s3cret:with ü"


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def request(port: int, credentials: str | None, method: str = "GET") -> bytes:
    target = f"127.0.0.1:{port}" if method == "CONNECT" else f"http://127.0.0.1:{port}/"
    lines = [f"{method} {target} HTTP/1.1", "Host: x"]
    if credentials is not None:
        lines.append(f"Proxy-Authorization: {credentials}")
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_who_has_no_right_password_gets_407_and_may_try_again(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        users = Users({"ann": hash_password(SECRET)})
        requests: list[bytes] = []
        async with serving(answering(OK, requests)) as port, proxying(users=users) as proxy:
            async with client(proxy) as (reader, writer):
                for wrong in (
                    None,
                    basic("ann", "wrong"),
                    basic("bob", SECRET),
                    basic("", ""),
                    "Basic",
                    "Basic !!!!",
                    "Basic " + base64.b64encode(b"\xff\xfe").decode(),
                    "Bearer " + base64.b64encode(f"ann:{SECRET}".encode()).decode(),
                ):
                    writer.write(request(port, wrong, method))
                    status, headers = await head(reader)
                    assert status == 407
                    assert headers["proxy-authenticate"].startswith("Basic realm=")
                    await reader.readexactly(int(headers["content-length"]))
                assert not requests
                writer.write(request(port, basic("ann", SECRET), method))
                assert (await head(reader))[0] == 200
            if method == "GET":
                assert b"uthorization" not in requests[0]
        assert "s3cret" not in repr(proxy.settings)
        assert all(exchange.user in (None, "ann") for exchange in proxy.ended)

    caplog.set_level(logging.DEBUG)
    run(main())
    assert "s3cret" not in caplog.text
    assert base64.b64encode(SECRET.encode()).decode()[:8] not in caplog.text


def test_a_password_is_right_or_wrong_in_the_same_time_for_all_names() -> None:
    async def main() -> None:
        users = Users({"ann": hash_password("right")})

        async def took_s(name: str) -> float:
            start = time.perf_counter()
            assert not await users.check(name, "wrong")
            return time.perf_counter() - start

        known = min([await took_s("ann") for _ in range(5)])
        unknown = min([await took_s("bob") for _ in range(5)])
        assert 0.3 < known / unknown < 3
        assert known > 0.005
        # The second time it is known, and costs nothing.
        assert await users.check("ann", "right")
        start = time.perf_counter()
        assert await users.check("ann", "right")
        assert time.perf_counter() - start < known / 2
        assert not await users.check("ann", "wrong")

    run(main())


def test_a_file_of_users_is_read_and_a_wrong_line_is_named_but_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"# comment\n\nann:{hash_password('a')}\nbob:{hash_password('b')}\n")
    hashes = read_hashes(path)
    assert list(hashes) == ["ann", "bob"]
    assert asyncio.run(Users(hashes).check("bob", "b"))
    for wrong in ("ann:plain-password", "ann", ":x", f"ann:{hash_password('a')[:-9]}"):
        path.write_text(f"# comment\n{wrong}\n")
        with pytest.raises(ValueError, match=r"line 2|hash") as caught:
            Users(read_hashes(path))
        assert "plain" not in str(caught.value)
    path.write_text("")
    with pytest.raises(ValueError, match="no user"):
        read_hashes(path)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.0.1", "0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1"),
        *("255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "ff02::1"),
        *(
            "::ffff:127.0.0.1",
            "::ffff:169.254.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ),
    ],
)
def test_what_is_no_destination_is_guarded(address: str) -> None:
    assert not Guard().allows(address)


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "192.0.2.1", "8.8.8.8", "2001:db8::1", "fd00::1", "64:ff9b::808:808"]
)
def test_what_is_out_there_is_not_guarded(address: str) -> None:
    assert Guard().allows(address)


def test_a_network_may_be_exempt() -> None:
    guard = Guard(exempt=(ipaddress.ip_network("127.0.0.2/32"),))
    assert guard.allows("127.0.0.2")
    assert not guard.allows("127.0.0.1")


def test_numbers_in_other_writings_are_guarded_as_well() -> None:
    async def main() -> None:
        async with proxying(guard=Guard()) as proxy:
            for host in ("127.1", "0x7f000001", "2130706433", "017700000001", "localhost", "[::1]"):
                answer = await ask(
                    proxy, f"GET http://{host}/ HTTP/1.0\r\nHost: x\r\n\r\n".encode()
                )
                assert status_of(answer) == 403, host

    run(main())


def test_ports_and_addresses_are_read_or_refused() -> None:
    assert parse_ports(["443", "80,8000-8001"]) == (
        range(443, 444),
        range(80, 81),
        range(8000, 8002),
    )
    assert parse_address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert parse_address("[::1]:0") == ("::1", 0)
    for wrong in ("", "0", "2-1", "x", "1-", "70000", "-1", "1,,2"):
        with pytest.raises(ValueError):
            parse_ports([wrong])
    for wrong in ("", "127.0.0.1", ":80", "::1:80", "x:port", "x:65536", "x:-1"):
        with pytest.raises(ValueError):
            parse_address(wrong)
