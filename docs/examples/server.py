"""An echo server on a stack of its own; `client.py` is the other end.

python server.py [--tap NAME,ADDRESS/LENGTH | --wire PATH]
"""

import argparse

import lklsock
from lklsock import socket
from lklsock.link import Tap, Wire


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wire", default="example.wire", help="a unix socket to the other end")
    parser.add_argument("--tap", help="a TAP device instead: tap0,10.0.0.1/24")
    options = parser.parse_args()

    stack = lklsock.default_stack()
    if options.tap:
        name, address = options.tap.split(",")
        stack.add_link(Tap(name), addresses=[address])
    else:
        stack.add_link(Wire(path=options.wire, listen=True), addresses=["10.9.0.1/24"])

    with socket.create_server(("", 7)) as server:
        print("waiting for a client", flush=True)
        connection, address = server.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)
            kind = "TCP" if connection.mptcp is None else "MPTCP"
            print(f"{kind} connection of {address[0]} has ended")


if __name__ == "__main__":
    main()
