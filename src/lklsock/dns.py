"""Names through a stack: which servers it asks, and how.

```python
stack = lklsock.default_stack()
stack.nameservers = ["10.0.0.53"]               # the rest as the host's /etc/resolv.conf has it
socket.create_connection(("www.example.org", 80))

stack.dns = dns.Config(nameservers=["10.0.0.53"], search=["example.org"], timeout_s=2)
dns.resolver(stack).resolve("example.org", "MX")    # dnspython's, through the stack
```

A stack without nameservers uses the host's resolver. With some, everything that turns names into
addresses and back asks them, through the stack: `getaddrinfo` and its like, and `connect`, `bind`
and `sendto` with a name. The file of hosts goes first; services are those of the host.

The stack that is asked is that of the socket, or else the current one. A thread that
`loop.run_in_executor` starts - and so `loop.getaddrinfo` of asyncio - is outside of any
`with stack:`, and asks the default stack.
"""

from __future__ import annotations

from typing import Any

from ._resolv_conf import Config
from .stack import Stack, current_stack

__all__ = ["Config", "resolver"]


def resolver(stack: Stack | None = None) -> Any:
    """A `dns.resolver.Resolver` of dnspython that asks through the stack, as `stack.dns` says.

    Args:
        stack: None for the current one.
    """
    from ._dns_query import make_resolver

    stack = stack or current_stack()
    return make_resolver(stack.dns, stack.kernel, stack.socket)
