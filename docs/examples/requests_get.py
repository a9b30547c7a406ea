"""A library that knows nothing of lklsock: requests, against a server of the standard library."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import lklsock

lklsock.patch(policy="all")  # loopback, too, is the stack's

import requests  # noqa: E402


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            print(requests.get(f"http://127.0.0.1:{server.server_port}/", timeout=10).text)
        finally:
            server.shutdown()
    print(lklsock.report().sockets)


if __name__ == "__main__":
    main()
