"""Programs of others through the proxy, over two shaped paths, with MPTCP at the far end."""

import gzip
import hashlib
import json
import os
import ssl
import subprocess
import sys
import textwrap
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from far_server import bulk_digest
from host_network import requires_host_mptcp, requires_root, requires_tun
from own_process import in_own_process
from required import library, program
from two_paths import SERVER, certificate, cut, environment, proxy, server

library("h11")

pytestmark = [pytest.mark.root, requires_root, requires_tun, requires_host_mptcp]

PROXY = "http://127.0.0.1:3128"


def run(*words: str, timeout_s: float = 60, **env: str) -> str:
    """Runs a program with the proxy in its environment. Returns what it printed."""
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**environment(), **env},
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}{done.stdout}"
    return done.stdout


def logged(path: Path) -> list[dict[str, Any]]:
    """The lines of an access log."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@in_own_process(timeout_s=120)
def test_curl_by_every_way_in(namespace: str, far: str, tmp_path: Path) -> None:
    tmp_path = Path(tmp_path)
    certificate(tmp_path)
    curl = program("curl", "curl")
    log = tmp_path / "log"
    ca = str(tmp_path / "cert.pem")
    with server(far, tmp_path), proxy("--access-log", str(log), "--auth", "ann:secret word"):
        http = "http://ann:secret%20word@127.0.0.1:3128"
        socks = "socks5h://ann:secret%20word@127.0.0.1:3128"
        for way in (http, socks):
            for scheme in ("http", "https"):
                words = [
                    curl,
                    "-sS",
                    "--fail",
                    "-x",
                    way,
                    "--cacert",
                    ca,
                    f"{scheme}://{SERVER}/small",
                ]
                assert run(*words) == "ok"
        tunnelled = [curl, "-sS", "-p", "-x", http, f"http://{SERVER}/small"]
        assert run(*tunnelled) == "ok"
        upload = tmp_path / "upload"
        upload.write_bytes(os.urandom(3_000_000))
        digest = hashlib.sha256(upload.read_bytes()).hexdigest()
        put = [curl, "-sS", "-x", http, "-T", str(upload), f"http://{SERVER}/put"]
        assert run(*put) == digest
        wrong = [curl, "-s", "-o", os.devnull, "-w", "%{http_code}", "-x", PROXY]
        assert run(*wrong, f"http://{SERVER}/small") == "407"
        keep = [curl, "-sS", "-v", "-x", http, *[f"http://{SERVER}/small"] * 5]
        assert run(*keep) == "ok" * 5
    lines = logged(log)
    assert all(line["mptcp"] for line in lines if line["status"] in (0, 200))
    assert {line["protocol"] for line in lines} == {"http", "connect", "socks5"}
    assert {line["user"] for line in lines} == {"ann", None}
    assert "secret" not in log.read_text()


@in_own_process(timeout_s=120)
def test_tls_is_the_servers_from_end_to_end(namespace: str, far: str, tmp_path: Path) -> None:
    tmp_path = Path(tmp_path)
    certificate(tmp_path)
    requests = library("requests")
    with server(far, tmp_path), proxy():
        import http.client

        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        connection = http.client.HTTPSConnection("127.0.0.1", 3128, context=context, timeout=30)
        connection.set_tunnel(SERVER, 443)
        connection.connect()
        seen = connection.sock.getpeercert(binary_form=True)
        own = ssl.PEM_cert_to_DER_cert((tmp_path / "cert.pem").read_text())
        assert seen == own
        connection.close()
        proxies = dict.fromkeys(("http", "https"), PROXY)
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"https://{SERVER}/small", proxies=proxies, timeout=30)


@in_own_process(timeout_s=120)
def test_pip_from_an_index(namespace: str, far: str, tmp_path: Path) -> None:
    tmp_path = Path(tmp_path)
    certificate(tmp_path)
    folder = tmp_path / "simple" / "lkls-sample"
    folder.mkdir(parents=True)
    name = "lkls_sample-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("lkls_sample.py", "VALUE = 42\n" + "# filler\n" * 100_000)
        info = "lkls_sample-1.0.dist-info"
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: lkls-sample\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    (folder / "index.html").write_text(f"<a href={name}>{name}</a>")
    target = tmp_path / "installed"
    with server(far, tmp_path), proxy():
        words = [sys.executable, "-m", "pip", "--isolated", "install", "--no-cache-dir"]
        words += ["--disable-pip-version-check", "--target", str(target)]
        words += ["--cert", str(tmp_path / "cert.pem"), "--proxy", PROXY]
        # An older pip takes what this machine may have set before what it is told.
        trusted = {"REQUESTS_CA_BUNDLE": str(tmp_path / "cert.pem")}
        run(*words, "-i", f"https://{SERVER}/simple/", "lkls-sample", **trusted)
    assert (target / "lkls_sample.py").read_text().startswith("VALUE = 42")


@in_own_process(timeout_s=120)
def test_git_over_https(namespace: str, far: str, tmp_path: Path) -> None:
    tmp_path = Path(tmp_path)
    certificate(tmp_path)
    git = program("git", "git")
    source = tmp_path / "source"
    own = {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    run(git, "init", "-q", str(source), **own)
    (source / "file").write_bytes(os.urandom(2_000_000))
    run(git, "-C", str(source), "add", "file", **own)
    run(git, "-C", str(source), *identity, "commit", "-qm", "one", **own)
    run(git, "clone", "-q", "--bare", str(source), str(tmp_path / "repository.git"), **own)
    run(git, "-C", str(tmp_path / "repository.git"), "update-server-info", **own)
    with server(far, tmp_path), proxy():
        clone = [git, "clone", "-q", f"https://{SERVER}/repository.git", str(tmp_path / "clone")]
        run(*clone, GIT_SSL_CAINFO=str(tmp_path / "cert.pem"), **own)
    assert (tmp_path / "clone" / "file").read_bytes() == (source / "file").read_bytes()


@in_own_process(timeout_s=120)
def test_apt_from_a_repository(namespace: str, far: str, tmp_path: Path) -> None:
    tmp_path = Path(tmp_path)
    certificate(tmp_path)
    apt = program("apt-get", "apt")
    build = tmp_path / "build" / "DEBIAN"
    build.mkdir(parents=True)
    (build / "control").write_text(
        "Package: lkls-sample\nVersion: 1.0\nArchitecture: all\nMaintainer: a\nDescription: b\n"
    )
    (tmp_path / "build" / "filler").write_bytes(os.urandom(1_000_000))
    package = tmp_path / "lkls-sample_1.0_all.deb"
    run(program("dpkg-deb", "dpkg"), "--build", str(tmp_path / "build"), str(package))
    content = package.read_bytes()
    fields = (build / "control").read_text() + (
        f"Filename: ./{package.name}\nSize: {len(content)}\n"
        f"SHA256: {hashlib.sha256(content).hexdigest()}\n\n"
    )
    (tmp_path / "Packages.gz").write_bytes(gzip.compress(fields.encode()))
    for name in ("lists/partial", "archives/partial", "downloads"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "status").touch()
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] http://{SERVER}/ ./\n")
    options = {
        "Dir::Etc::sourcelist": tmp_path / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::parts": "/dev/null",
        "Dir::Etc::main": "/dev/null",
        "Dir::State::lists": tmp_path / "lists",
        "Dir::State::status": tmp_path / "status",
        "Dir::Cache": tmp_path,
        "Dir::Cache::archives": tmp_path / "archives",
        "Acquire::http::Proxy": PROXY,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    words = [apt, "-q", *(f"-o{name}={value}" for name, value in options.items())]
    config = {"APT_CONFIG": "/dev/null"}
    with server(far, tmp_path), proxy():
        run(*words, "update", **config)
        script = f'cd {tmp_path}/downloads && exec "$@"'
        run("sh", "-c", script, "sh", *words, "download", "lkls-sample", **config)
    assert (tmp_path / "downloads" / package.name).read_bytes() == content


@in_own_process(timeout_s=120)
def test_websockets_through_both_protocols(namespace: str, far: str, tmp_path: Path) -> None:
    tmp_path = Path(tmp_path)
    certificate(tmp_path)
    library("websockets.sync.client", "websockets")
    from websockets.sync.client import connect

    context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    with server(far, tmp_path), proxy():
        url = f"wss://{SERVER}:8443/"
        with connect(url, ssl=context, proxy=PROXY, max_size=None) as connection:
            for size in (1, 1000, 2_000_000):
                message = os.urandom(size)
                connection.send(message)
                assert connection.recv(timeout=30) == message


@in_own_process(timeout_s=150)
def test_500_downloads_in_parallel(namespace: str, far: str, tmp_path: Path) -> None:
    tmp_path = Path(tmp_path)
    certificate(tmp_path)
    import http.client

    def one(number: int) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", 3128, timeout=100)
        connection.request("GET", f"http://{SERVER}/object/{number % 20}")
        content = connection.getresponse().read()
        connection.close()
        return content

    with server(far, tmp_path), proxy():
        with ThreadPoolExecutor(500) as threads:
            got = list(threads.map(one, range(500)))
    from far_server import png

    assert all(content == png(number % 20) for number, content in enumerate(got))


@in_own_process(timeout_s=120)
def test_reload_under_load_drops_no_connection(namespace: str, far: str, tmp_path: Path) -> None:
    tmp_path = Path(tmp_path)
    certificate(tmp_path)
    curl = program("curl", "curl")
    options = tmp_path / "options"
    options.write_text("--idle-s 600\n")
    with server(far, tmp_path), proxy("--options-file", str(options)) as running:
        words = [curl, "-sS", "--fail", "-x", PROXY, f"http://{SERVER}/bulk/24"]
        downloads = [subprocess.Popen(words, stdout=subprocess.PIPE) for _ in range(3)]
        for number in range(20):
            options.write_text(f"# the {number}th\n--idle-s {600 + number} --allow-ports 80\n")
            os.kill(running.pid, 1)
            assert run(curl, "-sS", "-x", PROXY, f"http://{SERVER}/small") == "ok"
        for download in downloads:
            content, _ = download.communicate(timeout=60)
            assert download.returncode == 0
            assert hashlib.sha256(content).hexdigest() == bulk_digest(24)
        refused = [curl, "-s", "-o", os.devnull, "-w", "%{http_code}", "-x", PROXY]
        assert run(*refused, f"http://{SERVER}:81/") == "403"
        assert running.said.count("read again") > 0


@pytest.mark.full
@in_own_process(timeout_s=400)
def test_a_gibibyte_with_one_path_lost(namespace: str, far: str, tmp_path: Path) -> None:
    tmp_path = Path(tmp_path)
    certificate(tmp_path)
    curl = program("curl", "curl")
    script = textwrap.dedent(f"""
        {curl} -sS --fail -x {PROXY} http://{SERVER}/bulk/1024 | sha256sum
    """)
    with server(far, tmp_path), proxy() as running:
        download = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
        before = _resident_bytes(running.pid)
        with pytest.raises(subprocess.TimeoutExpired):
            download.wait(20)
        cut(far, 1)
        out, _ = download.communicate(timeout=350)
        assert out.split()[0] == bulk_digest(1024)
        assert _resident_bytes(running.pid) - before < 64 << 20


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
