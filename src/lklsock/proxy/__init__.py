"""A proxy whose connections out are those of a stack: MPTCP for what knows nothing of it.

Clients speak HTTP/1.1 (CONNECT, absolute URLs) or SOCKS5 to sockets of the host, on one port; the
first byte tells which. Connections out are made in a stack, over all its links.

```python
import asyncio
import lklsock
from lklsock.proxy import Proxy, Settings, Upstream

async def main():
    proxy = Proxy(Settings(), Upstream.of_stack(lklsock.default_stack()))
    print(proxy.listen())               # [('127.0.0.1', 3128)]
    ...
    await proxy.drain(timeout_s=30)
```

`python -m lklsock proxy` is this as a command. It takes h11: `pip install 'lklsock[proxy]'`.
"""

from .guard import Guard
from .server import Proxy
from .settings import Limits, Settings
from .upstream import Upstream
from .users import Users

__all__ = ["Guard", "Limits", "Proxy", "Settings", "Upstream", "Users"]
