"""The dashboard's server: who may see it, who may press its buttons, and the figures."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from joined import joined_stacks
from own_process import in_own_process
from proxied import (
    LOOPBACK,
    OK,
    answering,
    ask,
    await_that,
    finished,
    head,
    proxying,
    run,
    serving,
)
from required import library

library("prometheus_client", "prometheus-client")

from lklsock import Stack, mptcp  # noqa: E402
from lklsock.proxy import Guard, Proxy, Upstream, Users  # noqa: E402
from lklsock.proxy import dashboard as module  # noqa: E402
from lklsock.proxy.dashboard import Dashboard  # noqa: E402
from lklsock.proxy.metrics import CONTENT_TYPE, Metrics  # noqa: E402
from lklsock.proxy.users import hash_password  # noqa: E402
from lklsock.proxy.web import Answer, Handler, Web  # noqa: E402

OWN = "X-Lklsock: dashboard"


@asynccontextmanager
async def paged(proxy: Proxy, routes: dict[tuple[str, str], Handler]) -> AsyncIterator[int]:
    web = Web(("127.0.0.1", 0), lambda: proxy.settings, routes)
    try:
        yield web.listen()[1]
    finally:
        await web.close()


async def fetch(
    port: int, path: str, *lines: str, method: str = "GET", host: str = "127.0.0.1"
) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    words = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *lines]
    writer.write("\r\n".join([*words, "", ""]).encode())
    status, headers = await head(reader)
    body = await reader.read()
    writer.close()
    return status, headers, body


async def _hello(path: str) -> Answer:
    return Answer(path.encode())


ROUTES: dict[tuple[str, str], Handler] = {("GET", "/"): _hello, ("POST", "/do/*"): _hello}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9090", 200),
        ("localhost:9090", 200),
        ("localhost", 200),
        ("[::1]:9090", 200),
        ("192.0.2.1", 200),
        ("evil.example", 421),
        ("evil.example:9090", 421),
        ("127.0.0.1.evil.example", 421),
    ],
)
def test_a_name_that_nobody_gave_it_is_not_answered(host: str, status: int) -> None:
    async def main() -> None:
        async with proxying() as proxy, paged(proxy, ROUTES) as port:
            assert (await fetch(port, "/", host=host))[0] == status

    run(main())


def test_pages_want_the_proxys_users() -> None:
    async def main() -> None:
        users = Users({"ann": hash_password("x")})
        async with proxying(users=users) as proxy, paged(proxy, ROUTES) as port:
            status, headers, _ = await fetch(port, "/")
            assert (status, headers["www-authenticate"][:5]) == (401, "Basic")
            wrong = base64.b64encode(b"ann:y").decode()
            assert (await fetch(port, "/", f"Authorization: Basic {wrong}"))[0] == 401
            right = base64.b64encode(b"ann:x").decode()
            status, headers, body = await fetch(port, "/", f"Authorization: Basic {right}")
            assert (status, body) == (200, b"/")
            assert headers["x-frame-options"] == "DENY"

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "lines", "status"),
    [
        ("POST", "/do/it", [OWN], 200),
        ("POST", "/do/it", [], 403),
        ("POST", "/do/it", ["Origin: http://evil.example"], 403),
        ("GET", "/do/it", [], 404),
        ("POST", "/", [OWN], 405),
        ("GET", "/missing", [], 404),
        ("GET", "/../etc/passwd", [], 404),
    ],
)
def test_only_its_own_page_may_press_buttons(
    method: str, path: str, lines: list[str], status: int
) -> None:
    async def main() -> None:
        async with proxying() as proxy, paged(proxy, ROUTES) as port:
            assert (await fetch(port, path, *lines, method=method))[0] == status

    run(main())


def _with_dashboard(
    check: Callable[[int, Stack, Dashboard], Coroutine[Any, Any, None]],
) -> None:
    async def main() -> None:
        near, _far = joined_stacks()
        async with proxying(Upstream.of_stack(near), guard=Guard(exempt=LOOPBACK)) as proxy:
            dashboard = Dashboard(proxy, near)
            dashboard.start()
            try:
                async with paged(proxy, dashboard.routes()) as port:
                    await check(port, near, dashboard)
            finally:
                await dashboard.close()

    run(main())


@in_own_process
def test_buttons_change_paths_and_what_they_did_is_told() -> None:
    async def check(port: int, stack: Stack, dashboard: Dashboard) -> None:
        async def press(action: str, name: str = "wire1") -> int:
            return (await fetch(port, f"/paths/{action}/{name}", OWN, method="POST"))[0]

        def flags_of(name: str) -> Any:
            return {each.ifname: each.flags for each in mptcp.endpoints(stack)}.get(name)

        async def path(number: int) -> Any:
            return json.loads((await fetch(port, "/state"))[2])["paths"][number]

        assert (await path(1))["carries"]
        assert await press("cut") == 200
        assert not stack.interface("wire1").carrier
        found = await path(1)
        assert (found["cut"], found["carries"]) == (True, False)
        assert await press("mend") == 200
        assert stack.interface("wire1").carrier
        await await_that(lambda: mptcp.endpoints(stack)[1:], "the path is used again")
        assert await press("backup") == 200
        await await_that(lambda: flags_of("wire1") == {"subflow", "backup"}, "it is a backup")
        assert flags_of("wire0") == {"subflow"}
        assert (await path(1))["backup"]
        # It stays one while the link comes and goes.
        assert await press("cut") == 200
        await await_that(lambda: flags_of("wire1") is None, "the path is given up")
        assert (await path(1))["backup"]
        assert await press("mend") == 200
        await await_that(lambda: flags_of("wire1") == {"subflow", "backup"}, "it is a backup")
        assert await press("carry") == 200
        assert not (await path(1))["backup"]
        assert await press("cut", "missing") == 409
        told = json.loads((await fetch(port, "/state"))[2])["events"]
        assert {"cut here", "down", "up"} <= {event["text"] for event in told}

    _with_dashboard(check)


@in_own_process
def test_the_page_needs_nothing_from_elsewhere() -> None:
    async def check(port: int, stack: Stack, dashboard: Dashboard) -> None:
        status, headers, body = await fetch(port, "/")
        assert status == 200
        assert "default-src 'none'" in headers["content-security-policy"]
        page = body.decode()
        assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?!data:)[a-z/]", page)
        assert "//" not in re.sub(r"//[^\n]*\n", "", page).replace("</", "")

    _with_dashboard(check)


@in_own_process
def test_events_come_as_they_happen_and_nobody_looks_when_nobody_is_there() -> None:
    async def check(port: int, stack: Stack, dashboard: Dashboard) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, headers = await head(reader)
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        seen = []
        while len(seen) < 3:
            line = await reader.readline()
            if line.startswith(b"data: "):
                seen.append(json.loads(line[6:]))
        assert seen[2]["monotonic"] > seen[1]["monotonic"] > seen[0]["monotonic"]
        assert [path["name"] for path in seen[0]["paths"]] == ["wire0", "wire1"]
        assert dashboard.is_looking
        writer.close()
        await await_that(lambda: not dashboard.is_looking, "nobody looks")

    _with_dashboard(check)


@in_own_process
def test_events_end_when_there_is_nothing_more_to_see() -> None:
    async def check(port: int, stack: Stack, dashboard: Dashboard) -> None:
        module.SILENCE_S = 1.0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await head(reader)
        await reader.readuntil(b"data: ")
        stack.halt()
        await reader.read()
        writer.close()

    _with_dashboard(check)


@in_own_process
def test_figures_are_those_of_what_happened() -> None:
    async def main() -> None:
        near, _far = joined_stacks()
        async with serving(answering(OK)) as port, proxying() as proxy:
            metrics = Metrics(proxy, near)

            async def figures(path: str) -> Answer:
                return Answer(metrics.text(), CONTENT_TYPE)

            request = f"GET http://127.0.0.1:{port}/ HTTP/1.0\r\nHost: x\r\n\r\n".encode()
            for _ in range(3):
                await ask(proxy, request)
            await ask(proxy, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await finished(proxy, 4)
            async with paged(proxy, {("GET", "/metrics"): figures}) as page:
                status, headers, body = await fetch(page, "/metrics")
            assert (status, headers["content-type"]) == (200, CONTENT_TYPE)
            lines = body.decode().splitlines()
            for line in (
                'lklsock_proxy_requests_total{error="",protocol="http",status="200"} 3.0',
                'lklsock_proxy_requests_total{error="http_request_error",protocol="http",'
                'status="400"} 1.0',
                'lklsock_proxy_connections_total{kind="tcp"} 3.0',
                'lklsock_proxy_bytes_total{direction="down"} 6.0',
                'lklsock_path_up{path="wire0"} 1.0',
                "lklsock_proxy_connect_seconds_count 3.0",
                "lklsock_proxy_faults_total 0.0",
            ):
                assert line in lines, body.decode()

    run(main())
