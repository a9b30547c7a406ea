"""Tunnels over the host's loopback, and a gateway whose link is a wire: no privilege at all."""

import json
import os
import signal
import socket as host
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import required
from far_gateway import FarGateway, free_port, no_secret_in
from own_process import in_own_process
from worlds import JOIN_S, Transfer, await_carrier

from lklsock import Stack, set_default_stack, socket
from lklsock.link import Fd, Impair, Key, Pcap, Tunnel, Wire

SERVER = "10.77.0.1"


@contextmanager
def gateway(keys: dict[str, Key], *ports: int) -> Iterator[tuple[FarGateway, Stack]]:
    """A gateway, and the stack on its other side."""
    near, far = host.socketpair(host.AF_UNIX, host.SOCK_SEQPACKET)
    at = (f"--fd={near.fileno()}", *(f"--listen=127.0.0.1:{port}" for port in ports))
    with near:
        running = FarGateway(*at, keys=keys, fds=[near.fileno()])
    server = Stack(hostname="server")
    server.add_link(Fd(far.detach()), addresses=[f"{SERVER}/24"])
    with running:
        yield running, server


@contextmanager
def connected_to(server: Stack, client: Stack) -> Iterator[tuple[socket.socket, socket.socket]]:
    with server:
        listener = socket.create_server(("", 0))
    with listener:
        with client:
            near = socket.create_connection((SERVER, listener.getsockname()[1]), timeout=JOIN_S)
        listener.settimeout(JOIN_S)
        far, _ = listener.accept()
        near.settimeout(JOIN_S)
        far.settimeout(JOIN_S)
        with near, far:
            yield near, far


@in_own_process
def test_tcp_goes_both_ways_without_privilege() -> None:
    key, port, client = Key.new(), free_port(), Stack()
    with gateway({"laptop": key}, port) as (running, server):
        link = Tunnel(remote="localhost", source="127.0.0.1", port=port, key=key)
        tunnel = client.add_link(link, addresses=["10.77.0.2/24"])
        await_carrier(tunnel)
        running.expect("laptop .* joined from 127.0.0.1:")
        with connected_to(server, client) as (near, far):
            Transfer(near, far, 20_000_000).finish()
        with connected_to(server, client) as (near, far):
            Transfer(far, near, 20_000_000).finish()
        counters = tunnel.counters()
        assert counters["rx_malformed"] == counters["tx_too_long"] == 0
        # Long frames were handed over, not segments of them.
        assert counters["tx_bytes"] / counters["tx_frames"] > 1000
        client.halt()
        running.expect("laptop .* left; 0 tunnels")
        assert running.end() == 0
        assert no_secret_in(running.lines, key)


def check_that_peers_reach_the_host_and_not_each_other(*ports: int) -> None:
    """One at the first of these ports, one at the last."""
    keys = {"laptop": Key.new(), "phone": Key.new()}
    with gateway(keys, *ports) as (running, server):
        clients = []
        for number, (name, key) in enumerate(keys.items(), 2):
            client = Stack(hostname=name)
            link = Tunnel(remote="127.0.0.1", port=ports[0 if number == 2 else -1], key=key)
            await_carrier(client.add_link(link, addresses=[f"10.77.0.{number}/24"]))
            running.expect(f"{name} .* joined .* {number - 1} tunnel")
            clients.append(client)
        for client in clients:
            with connected_to(server, client) as (near, far):
                Transfer(near, far, 2_000_000).finish()
        with clients[1]:
            listener = socket.create_server(("", 0))
        with listener, clients[0]:
            try:
                socket.create_connection(("10.77.0.3", listener.getsockname()[1]), timeout=0.5)
            except OSError:
                pass
            else:
                raise AssertionError("one peer has reached the other")


@in_own_process
def test_peer_that_takes_the_hosts_mac_address_does_not_keep_others_from_it() -> None:
    keys, port = {"laptop": Key.new(), "phone": Key.new()}, free_port()
    with gateway(keys, port) as (_, server):
        host_mac = server.interfaces[-1].mac
        liar, client = Stack(hostname="liar"), Stack(hostname="client")
        tunnel = Tunnel(remote="127.0.0.1", port=port, key=keys["laptop"], mac=host_mac)
        await_carrier(liar.add_link(tunnel, addresses=["10.77.0.2/24"]))
        tunnel = Tunnel(remote="127.0.0.1", port=port, key=keys["phone"])
        await_carrier(client.add_link(tunnel, addresses=["10.77.0.3/24"]))
        with connected_to(server, client) as (near, far):
            with liar:
                noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with noise:
                for number in range(10, 40):
                    # It is heard: an ARP request.
                    noise.sendto(b"here", (f"10.77.0.{number}", 9))
                    near.sendall(b"x")
                    assert far.recv(1) == b"x"


@in_own_process
def test_peers_reach_the_host_and_not_each_other() -> None:
    check_that_peers_reach_the_host_and_not_each_other(free_port())


@in_own_process
def test_peers_at_two_addresses_of_a_gateway_do_not_reach_each_other() -> None:
    check_that_peers_reach_the_host_and_not_each_other(free_port(), free_port())


@in_own_process
def test_tunnel_is_wrapped_like_any_link(tmp_path: str) -> None:
    key, port, client = Key.new(), free_port(), Stack()
    with gateway({"laptop": key}, port) as (_, server):
        capture = f"{tmp_path}/lkls-{os.getpid()}.pcap"
        try:
            link = Tunnel(remote="127.0.0.1", port=port, key=key, addresses=["10.77.0.2/24"])
            interface = client.add_link(Impair(Pcap(link, capture), delay_ms=5, seed=1))
            await_carrier(interface)
            with connected_to(server, client) as (near, far):
                Transfer(near, far, 1_000_000).finish()
            assert os.path.getsize(capture) > 1_000_000
        finally:
            os.unlink(capture)


@in_own_process
def test_connection_outlives_the_gateway() -> None:
    """Killed and started again, it finds its peers, and the connection goes on."""
    key, port, client = Key.new(), free_port(), Stack()
    near_end, far_end = host.socketpair(host.AF_UNIX, host.SOCK_SEQPACKET)
    server = Stack()
    server.add_link(Fd(far_end.detach()), addresses=[f"{SERVER}/24"])
    at = (f"--fd={near_end.fileno()}", f"--listen=127.0.0.1:{port}")
    first = FarGateway(*at, keys={"laptop": key}, fds=[near_end.fileno()])
    link = Tunnel(remote="127.0.0.1", port=port, key=key, keepalive_s=0.2)
    interface = client.add_link(link, addresses=["10.77.0.2/24"])
    await_carrier(interface)
    with connected_to(server, client) as (near, far):
        transfer = Transfer(near, far, 8_000_000)
        transfer.await_received(1_000_000)
        first.end(signal.SIGKILL)
        await_carrier(interface, carrier=False)
        with FarGateway(*at, keys={"laptop": key}, fds=[near_end.fileno()]) as second:
            second.expect("joined")
            await_carrier(interface)
            transfer.finish()
            # A good-bye is heard at once.
            assert second.end() == 0
            await_carrier(interface, carrier=False)
    near_end.close()


@in_own_process
def test_wrong_key_has_no_carrier_and_is_named() -> None:
    port, client = free_port(), Stack()
    with gateway({"laptop": Key.new()}, port) as (running, _):
        link = Tunnel(remote="127.0.0.1", port=port, key=Key.new(), keepalive_s=0.1)
        interface = client.add_link(link, addresses=["10.77.0.2/24"])
        running.expect("127.0.0.1:.* was refused: it has none of our keys")
        assert not interface.carrier


@in_own_process
def test_forked_child_has_a_tunnel_of_its_own() -> None:
    key, port = Key.new(), free_port()
    stack = Stack()
    set_default_stack(stack)
    with gateway({"laptop": key}, port) as (running, server):
        link = Tunnel(remote="127.0.0.1", port=port, key=key, keepalive_s=0.5)
        interface = stack.add_link(link, addresses=["10.77.0.1{child}/24"])
        await_carrier(interface)
        assert interface.addresses == ["10.77.0.10"]
        with server:
            listener = socket.create_server(("", 0))
        listener.settimeout(JOIN_S)
        there = (SERVER, listener.getsockname()[1])
        read_end, write_end = os.pipe()
        pid = os.fork()
        if not pid:
            status = 1
            try:
                set_default_stack(stack)
                with socket.create_connection(there, timeout=JOIN_S) as mine:
                    mine.sendall(b"child")
                    os.write(write_end, json.dumps(stack.interface("tunnel0").addresses).encode())
                    assert mine.recv(1) == b""
                status = 0
            finally:
                os._exit(status)
        os.close(write_end)
        far, (address, _) = listener.accept()
        far.settimeout(JOIN_S)
        assert address == "10.77.0.11"
        assert far.recv(5) == b"child"
        with connected_to(server, stack) as (near, other):
            Transfer(near, other, 1_000_000).finish()
        assert json.loads(os.read(read_end, 4096)) == ["10.77.0.11"]
        far.close()
        listener.close()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        running.expect("joined")
        running.expect("joined .* 2 tunnels")


# ---- as somebody else would write it


def header(kind: int, number: int) -> bytes:
    return bytes([8, kind, 1, 0]) + number.to_bytes(3, "big") + b"\0"


@in_own_process
def test_handshake_is_noise_as_others_have_it() -> None:
    """A client of the `noiseprotocol` library's agrees with the gateway, by the protocol's page."""
    import hashlib
    import hmac

    noise = required.library("noise.connection", "noiseprotocol")
    aead = required.library("cryptography.hazmat.primitives.ciphers.aead", "cryptography")
    key, port, mac = Key.new(), free_port(), b"\2\0\0\0\0\1"

    def keyed(text: bytes, by: bytes = key.secret) -> bytes:
        return hmac.digest(by, text, hashlib.sha256)

    def hello(cookie: bytes) -> tuple[Any, bytes]:
        before = header(1, 77) + keyed(b"lklsock tunnel key id")[:8] + cookie
        end = noise.NoiseConnection.from_name(b"Noise_NNpsk0_25519_AESGCM_SHA256")
        end.set_as_initiator()
        end.set_psks(key.secret)
        end.set_prologue(b"lklsock tunnel 1" + before)
        end.start_handshake()
        return end, before + end.write_message(struct.pack(">QIH", 1, 5000, 1426) + mac)

    with gateway({"other": key}, port) as (running, server):
        udp = host.socket(host.AF_INET, host.SOCK_DGRAM)
        udp.settimeout(JOIN_S)
        udp.connect(("127.0.0.1", port))
        _, datagram = hello(bytes(16))
        udp.send(datagram)
        asked = udp.recv(2048)
        assert asked[:8] == header(2, 77)
        assert len(asked) < len(datagram)
        e, cookie, authentic = datagram[32:64], asked[8:24], asked[24:]
        by = keyed(b"lklsock tunnel cookie")
        assert keyed(e + asked[:24], by)[:16] == authentic
        end, datagram = hello(cookie)
        udp.send(datagram)
        answer = udp.recv(2048)
        assert answer[:8] == header(3, 77)
        theirs = int.from_bytes(end.read_message(answer[8:])[:4], "big")
        ours = end.noise_protocol.cipher_state_encrypt
        seal, unseal = (
            aead.AESGCM(state.k) for state in (ours, end.noise_protocol.cipher_state_decrypt)
        )
        # ARP: who has the server's address?
        arp = struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + mac + bytes([10, 77, 0, 9]) + bytes(6)
        frame = b"\xff" * 6 + mac + b"\x08\x06" + arp + bytes([10, 77, 0, 1])
        before = header(4, theirs) + (0).to_bytes(8, "big")
        udp.send(before + seal.encrypt(bytes(12), frame, before))
        running.expect("other .* joined")
        reply = udp.recv(2048)
        counter = reply[8:16]
        assert reply[:8] == header(4, 77)
        got = unseal.decrypt(bytes(4) + counter, reply[16:], reply[:16])
        assert got[:6] == mac
        assert got[12:14] == b"\x08\x06"
        assert got[28:32] == bytes([10, 77, 0, 1])
        udp.close()
        del server


@in_own_process
def test_port_that_is_taken_is_told() -> None:
    key, port = Key.new(), free_port()
    near, far = Wire.pair()
    assert near.fd is not None
    assert far.fd is not None
    with host.socket(host.AF_INET, host.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        try:
            at = (f"--fd={near.fd}", f"--listen=127.0.0.1:{port}")
            FarGateway(*at, keys={"laptop": key}, fds=[near.fd])
        except AssertionError as error:
            assert "another gateway, or program, has that UDP port" in str(error)
        else:
            raise AssertionError("it listens")
    os.close(near.fd)
    os.close(far.fd)
