"""A connection over two paths, of which one is cut: what the path manager does about it.

Two stacks in this process, joined by two wires, so that it runs anywhere.
"""

import threading

import lklsock
from lklsock import mptcp, socket
from lklsock.link import Impair, Wire

TOTAL = 20_000_000


def join(left: lklsock.Stack, right: lklsock.Stack, number: int) -> str:
    """One wire of 50 Mbit/s between the two stacks. Returns its name on the left."""
    here, there = Wire.pair()
    wire = Impair(here, delay_ms=5, rate_bit_per_s=50_000_000)
    name = f"path{number}"
    left.add_link(wire, name=name, addresses=[f"10.{number}.0.1/24"], gateway=f"10.{number}.0.2")
    right.add_link(there, name=name, addresses=[f"10.{number}.0.2/24"])
    return name


def receive(server: socket.socket, cut_at: int, cut: threading.Event) -> None:
    peer, _ = server.accept()
    received = 0
    with peer:
        while data := peer.recv(1 << 20):
            received += len(data)
            if received >= cut_at:
                cut.set()
    print(f"received {received} of {TOTAL} bytes")


def main() -> None:
    client, server_side = lklsock.Stack(hostname="client"), lklsock.Stack(hostname="server")
    names = [join(client, server_side, number) for number in (1, 2)]
    mptcp.preset("aggregate", stack=client)
    mptcp.limits(server_side, subflows=4, add_addr_accepted=4)
    with server_side:
        server = socket.create_server(("10.1.0.2", 5000))
    half = threading.Event()
    receiver = threading.Thread(target=receive, args=(server, TOTAL // 2, half))
    receiver.start()

    def tell(event: mptcp.Event) -> None:
        print(type(event).__name__, flush=True)

    with client, mptcp.on_event(tell, client):
        with socket.create_connection(("10.1.0.2", 5000)) as sock:
            sender = threading.Thread(target=sock.sendall, args=(bytes(TOTAL),))
            sender.start()
            half.wait(60)
            print(f"-- {names[0]} is cut")
            client.interface(names[0]).cut(carrier=True)
            sender.join()
        receiver.join()
    server.close()


if __name__ == "__main__":
    main()
