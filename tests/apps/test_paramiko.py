"""SSH between paramiko's client and its own server, on the stack's loopback."""

import socket
import threading
from typing import Any

from own_process import in_own_process
from programs import TIMEOUT_S, both_ways, check_stack, load

DATA = bytes(range(256)) * 4096


@both_ways
@in_own_process
def test_paramiko(when: str) -> None:
    (paramiko,) = load(when, "paramiko")
    key = paramiko.ECDSAKey.generate()

    class Server(paramiko.ServerInterface):  # type: ignore[misc, name-defined]
        def check_channel_request(self, kind: str, chanid: int) -> Any:
            return paramiko.OPEN_SUCCEEDED

        def check_auth_publickey(self, username: str, offered: Any) -> Any:
            return paramiko.AUTH_SUCCESSFUL if offered == key else paramiko.AUTH_FAILED

        def get_allowed_auths(self, username: str) -> str:
            return "publickey"

        def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
            threading.Thread(target=echo, args=(channel,), daemon=True).start()
            return True

    def echo(channel: Any) -> None:
        with channel.makefile("rb") as source:
            channel.sendall(source.read(len(DATA)))
        channel.send_exit_status(7)
        channel.close()

    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        transport = paramiko.Transport(connection)
        transport.add_server_key(key)
        transport.start_server(server=Server())
        served.append(transport)

    served: list[Any] = []
    thread = threading.Thread(target=serve)
    thread.start()
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    host, port = listener.getsockname()
    client.connect(
        host, port, "user", pkey=key, timeout=TIMEOUT_S, allow_agent=False, look_for_keys=False
    )
    stdin, stdout, _ = client.exec_command("echo", timeout=TIMEOUT_S)
    stdin.write(DATA)
    stdin.channel.shutdown_write()
    assert stdout.read() == DATA
    assert stdout.channel.recv_exit_status() == 7
    check_stack()
    client.close()
    thread.join()
    served[0].close()
    listener.close()
