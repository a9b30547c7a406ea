"""Which world serves an address: the stack, or the host.

```python
Policy([Rule(to="10.0.0.0/8", port="5432", world="host")], listen="stack")
```

The first rule that fits decides. What fits none is the host's if it is a loopback address, and the
stack's if not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any, Literal

    World = Literal["host", "stack"]
    Listen = Literal["both", "host", "stack"]
    Address = IPv4Address | IPv6Address

WORLDS = ("host", "stack")
LISTEN = ("both", "host", "stack")

_PORT_MAX = 65535


class Rule:
    """Sends what it fits to one world.

    Args:
        to: A network or an address, "10.0.0.0/8" or "fd00::1"; "*" for any.
        port: "5432", or "8000-9000"; None for any.
        world: "host" or "stack".

    Raises:
        ValueError: One of them is something else.
    """

    __slots__ = ("_network", "_ports", "port", "to", "world")

    def __init__(
        self, *, to: str = "*", port: str | int | None = None, world: World = "host"
    ) -> None:
        self.to = to
        self.port = port
        self.world: World = _one_of("world", world, WORLDS)
        self._network = None if to == "*" else _network(to)
        self._ports = None if port is None else _ports(port)

    def __repr__(self) -> str:
        return f"Rule(to={self.to!r}, port={self.port!r}, world={self.world!r})"

    def fits(self, address: Address, port: int) -> bool:
        """Whether it decides for this address and port."""
        if self._ports is not None and port not in self._ports:
            return False
        return self._network is None or address in self._network


class Policy:
    """Rules, and where a listener on all addresses listens.

    Args:
        rules: Each a `Rule`, or a mapping of its arguments.
        listen: The world of a socket that is bound to no address in particular and listens, or
            takes datagrams: "both", "host" or "stack".
    """

    def __init__(
        self, rules: Iterable[Rule | Mapping[str, Any]] = (), *, listen: Listen = "both"
    ) -> None:
        self.rules = tuple(_rule(rule) for rule in rules)
        self.listen = _one_of("listen", listen, LISTEN)
        self._decide: Callable[[str, int], World] = lru_cache(maxsize=1024)(self._first_fit)

    def __repr__(self) -> str:
        return f"Policy({list(self.rules)!r}, listen={self.listen!r})"

    @property
    def has_every_family(self) -> bool:
        """Whether the stack has every address, and so the families without such addresses, too."""
        if not self.rules:
            return False
        first = self.rules[0]
        return first.to == "*" and first.port is None and first.world == "stack"

    @property
    def is_the_stacks(self) -> bool:
        """Whether everything is the stack's, so that there is nothing to decide."""
        return self.listen == "stack" and self.has_every_family

    def world(self, host: str, port: int) -> World:
        """The world of an address: a numeric one; "" and the wildcards stand for loopback.

        Raises:
            ValueError: The host is not a numeric address.
        """
        return self._decide(host, port)

    def _first_fit(self, host: str, port: int) -> World:
        address = _plain_address(host)
        for rule in self.rules:
            if rule.fits(address, port):
                return rule.world
        return "host" if address.is_loopback else "stack"


def as_policy(
    value: Policy | str | Iterable[Rule | Mapping[str, Any]], listen: Listen | None = None
) -> Policy:
    """A policy from its name, "default" or "all" (everything on the stack), or from its rules.

    Args:
        value: The policy.
        listen: As for `Policy`. If None, that of the policy.

    Raises:
        ValueError: There is no policy of this name, a rule is wrong, or `listen`.
    """
    if isinstance(value, Policy):
        return value if listen is None else Policy(value.rules, listen=listen)
    if not isinstance(value, str):
        return Policy(value, listen=listen or "both")
    if value == "default":
        return Policy(listen=listen or "both")
    if value == "all":
        return Policy([Rule(world="stack")], listen=listen or "stack")
    raise ValueError(f'policy must be "default", "all", a Policy, or rules, not {value!r}')


def is_wildcard(host: str) -> bool:
    """Whether a local address stands for all of them.

    Raises:
        ValueError: It is not numeric.
    """
    return not host or ip_address(host).is_unspecified


def _plain_address(host: str) -> Address:
    address = ip_address(host or "127.0.0.1")
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_unspecified:
        # connect(2) takes it so.
        return ip_address("127.0.0.1" if address.version == 4 else "::1")
    return address


def _rule(value: Rule | Mapping[str, Any]) -> Rule:
    if isinstance(value, Rule):
        return value
    unknown = set(value) - {"to", "port", "world"}
    if unknown:
        raise ValueError(f"a policy rule has to, port and world, not {', '.join(sorted(unknown))}")
    if "world" not in value:
        raise ValueError('a policy rule needs a world, "host" or "stack"')
    return Rule(**value)


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    return value


def _network(to: str) -> Any:
    try:
        return ip_network(to)
    except ValueError as error:
        raise ValueError(f'to must be a network, an address or "*", not {to!r}: {error}') from None


def _ports(port: str | int) -> range:
    text = str(port)
    first, dash, last = text.partition("-")
    try:
        ports = range(_port(first), _port(last if dash else first) + 1)
    except ValueError:
        ports = range(0)
    if not ports:
        raise ValueError(f'port must be like "5432" or "8000-9000", not {port!r}')
    return ports


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= _PORT_MAX:
        raise ValueError(text)
    return port
