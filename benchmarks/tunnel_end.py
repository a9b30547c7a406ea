"""One end of a transfer over TCP, for `tunnel.py`: the host's socket, or one of a stack's.

    server PORT
    client host|tunnel|vxlan ADDRESS PORT out|in SECONDS SETTLE_SECONDS KEY

The client says which way; who receives prints bytes per second, of what came after the settling.
"""

from __future__ import annotations

import os
import socket
import sys
import time

CHUNK = 1 << 18
PATIENCE_S = 30.0


def _send(sock: socket.socket, seconds: float) -> None:
    chunk, until = bytes(CHUNK), time.monotonic() + seconds
    while time.monotonic() < until:
        sock.sendall(chunk)
    sock.shutdown(socket.SHUT_WR)


def _receive(sock: socket.socket, settle_s: float) -> float:
    buffer, count, end = bytearray(CHUNK), 0, time.monotonic()
    begin = end + settle_s
    while got := sock.recv_into(buffer):
        end = time.monotonic()
        if end >= begin:
            count += got
    return count / (end - begin)


def _serve(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        print("ready", flush=True)
        listener.settimeout(PATIENCE_S)
        sock, _ = listener.accept()
    sock.settimeout(PATIENCE_S)
    with sock:
        direction, seconds, settle_s = sock.recv(64).decode().split()
        if direction == "out":
            sock.sendall(b"!")
            print(_receive(sock, float(settle_s)), flush=True)
        else:
            _send(sock, float(seconds))
            sock.recv(1)


def _connect(kind: str, address: str, port: int, key: str) -> socket.socket:
    if kind == "host":
        return socket.create_connection((address, port), PATIENCE_S)
    from lklsock import Stack, set_default_stack
    from lklsock import socket as lkl
    from lklsock.link import Tunnel, Vxlan

    stack = Stack(mptcp_mode="off")
    set_default_stack(stack)
    stack.sysctl("net.ipv4.tcp_congestion_control", "cubic")
    subnet = address.rpartition(".")[0]
    if kind == "tunnel":
        link = Tunnel(remote="192.0.2.1", key=key, keepalive_s=1)
    else:
        link = Vxlan(remote="192.0.2.1", vni=2, port=4790)
    interface = stack.add_link(link, addresses=[f"{subnet}.2/24"])
    until = time.monotonic() + PATIENCE_S
    while not interface.carrier and time.monotonic() < until:
        time.sleep(0.01)
    return lkl.create_connection((address, port), PATIENCE_S)


def _be_client(words: list[str]) -> None:
    kind, address, port, direction, seconds, settle_s, key = words
    with _connect(kind, address, int(port), key) as sock:
        sock.settimeout(PATIENCE_S)
        sock.sendall(f"{direction} {seconds} {settle_s}".encode())
        if direction == "in":
            print(_receive(sock, float(settle_s)), flush=True)
        else:
            sock.recv(1)
            _send(sock, float(seconds))
            sock.recv(1)


if __name__ == "__main__":
    if sys.argv[1] == "server":
        _serve(int(sys.argv[2]))
    else:
        _be_client(sys.argv[2:])
    sys.stdout.flush()
    # A stack that is halted lingers; what was measured is out.
    os._exit(0)
