"""Two stacks in one process: two little hosts, with a wire between them."""

import lklsock
from lklsock import socket
from lklsock.link import Wire


def main() -> None:
    one, other = lklsock.Stack(hostname="one"), lklsock.Stack(hostname="other")
    here, there = Wire.pair()
    one.add_link(here, addresses=["10.0.0.1/24", "fd00::1/64"])
    other.add_link(there, addresses=["10.0.0.2/24", "fd00::2/64"])

    with other:  # new sockets in here are its
        server = socket.create_server(("fd00::2", 80), family=socket.AF_INET6)
    with one, socket.create_connection(("fd00::2", 80)) as client:
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"from the other host")
        print(client.recv(100).decode())
    server.close()


if __name__ == "__main__":
    main()
