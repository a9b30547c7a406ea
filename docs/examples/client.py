"""A client of `server.py`.

python client.py [--tap NAME,ADDRESS/LENGTH --server ADDRESS | --wire PATH]
"""

import argparse

import lklsock
from lklsock import socket
from lklsock.link import Tap, Wire


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wire", default="example.wire", help="a unix socket to the other end")
    parser.add_argument("--tap", help="a TAP device instead: tap1,10.0.0.2/24")
    parser.add_argument("--server", default="10.9.0.1", help="the server's address")
    options = parser.parse_args()

    stack = lklsock.default_stack()
    if options.tap:
        name, address = options.tap.split(",")
        stack.add_link(Tap(name), addresses=[address])
    else:
        stack.add_link(Wire(path=options.wire), addresses=["10.9.0.2/24"])

    with socket.create_connection((options.server, 7), timeout=10) as sock:
        sock.sendall(b"hello over MPTCP")
        print(sock.recv(100).decode())


if __name__ == "__main__":
    main()
