"""OpenSSL's own client at the other end: new keys in the middle of a connection."""

import shutil
import socket as host
import subprocess
import threading

import pytest
from own_process import in_own_process
from secure import plain_pair, server_context


def relay(source: host.socket, sink: host.socket) -> None:
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(host.SHUT_WR)


@in_own_process
def test_keys_are_changed_on_demand(certificates: str) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("takes openssl: apt install openssl")
    far, near = plain_pair()
    with host.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        openssl = subprocess.Popen(
            ["openssl", "s_client", "-connect", address, "-tls1_3"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        listener.settimeout(30)
        program, _ = listener.accept()
    threads = [
        threading.Thread(target=relay, args=ends, daemon=True)
        for ends in ((program, far), (far, program))
    ]
    for thread in threads:
        thread.start()
    assert openssl.stdin is not None and openssl.stdout is not None
    with openssl, program, far:
        with server_context(certificates).wrap_socket(near, server_side=True) as secure:
            # "K": change the keys, and have the peer change its own.
            for command in (b"before\n", b"K\n", b"between\n", b"K\n", b"after\n"):
                openssl.stdin.write(command)
                openssl.stdin.flush()
                answer = b"KEYUPDATE\n"
                if command != b"K\n":
                    assert secure.recv(100) == command
                    answer = b"answer to " + command
                    secure.write(answer)
                while (line := openssl.stdout.readline()) != answer:
                    assert line, "openssl has ended"
            openssl.stdin.close()
            assert secure.recv(100) == b""
        assert openssl.wait(30) == 0
    for thread in threads:
        thread.join(30)
