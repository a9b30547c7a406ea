"""Descriptions of links: what a stack's network interfaces are connected to.

```python
stack.add_link(Tap("tap0", addresses=["10.0.0.2/24"], gateway="10.0.0.1"))

stack.add_link(Passt())                         # the host's network, for TCP and UDP; no privilege

left, right = Wire.pair()                       # to another stack, no privilege needed
stack.add_link(Impair(left, delay_ms=10, loss=0.01, seed=1), addresses=["10.1.0.1/24"])
```

| link | what | privilege |
|---|---|---|
| `Tap` | a TAP device of the host | none if it exists and is yours, else CAP_NET_ADMIN |
| `Fd` | a TAP, packet or unix socket that was handed in | none |
| `Packet` | an interface of the host, with a MAC address of its own | CAP_NET_RAW |
| `Vxlan` | an Ethernet in UDP, to any Linux gateway with a `vxlan` device | none |
| `Tunnel` | the same to `python -m lklsock gateway`: sealed, through NAT, roaming | none |
| `Passt` | the host's own sockets, through the program passt: TCP and UDP, no MPTCP | none |
| `Wire` | another stack | none |
| `Pcap`, `Impair` | wrappers: a capture; delay, loss, a rate, cuts | none |

A description is a value: it opens nothing. `Stack.add_link` does, and returns the `Interface`.

Addresses are given, or come by themselves: "dhcp" asks a server of the network, and keeps the lease
as long as the stack runs; "slaac" takes what IPv6 routers advertise.

```python
link = stack.add_link(Tap("tap1"), addresses=["dhcp", "slaac"])
link.wait(timeout_s=10)                         # TimeoutError says what is missing, and why
link.lease                                      # address, gateway, nameservers, times
```

For "{child}" in a TAP's name and in addresses, each process has a number: the lowest whose device
is free, so 0 in the first. The interface's name is that of number 0 in all of them.

```python
stack.add_link(Tap("tap{child}"), addresses=["10.1.{child}.2/24"])  # for forked children, too
```
"""

from ._tunnel_key import Key
from .description import MTU_ETHERNET as MTU_ETHERNET
from .description import Address as Address
from .description import Link
from .description import Subnet as Subnet
from .fd import Fd
from .packet import Packet
from .passt import Passt
from .tap import Tap
from .tunnel import Tunnel
from .vxlan import Vxlan
from .wire import Wire
from .wrappers import AnyLink as AnyLink
from .wrappers import Direction, Impair, Pcap
from .wrappers import for_child as for_child
from .wrappers import innermost as innermost
from .wrappers import with_attributes as with_attributes
from .wrappers import wrapped as wrapped

__all__ = [
    "Direction",
    "Fd",
    "Impair",
    "Key",
    "Link",
    "Packet",
    "Passt",
    "Pcap",
    "Tap",
    "Tunnel",
    "Vxlan",
    "Wire",
]
