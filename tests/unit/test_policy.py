"""Policies: whose an address is, and what is no policy."""

from typing import Any

import pytest

from lklsock._policy import Policy, Rule, as_policy, is_wildcard


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1", "", "0.0.0.0", "::"]
)
def test_loopback_is_the_hosts(host: str) -> None:
    assert Policy().world(host, 80) == "host"


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "192.0.2.1", "fe80::1%2", "2001:db8::1", "::ffff:10.0.0.1", "224.0.0.1"]
)
def test_everything_else_is_the_stacks(host: str) -> None:
    assert Policy().world(host, 80) == "stack"


def test_first_rule_that_fits_decides() -> None:
    policy = as_policy(
        [
            {"to": "10.0.0.7", "world": "stack"},
            {"to": "10.0.0.0/8", "port": "5432", "world": "host"},
            {"port": "8000-9000", "world": "host"},
            Rule(to="127.0.0.0/8", world="stack"),
            Rule(to="fd00::/8", world="host"),
        ]
    )
    assert policy.world("10.0.0.7", 5432) == "stack"
    assert policy.world("10.0.0.8", 5432) == "host"
    assert policy.world("10.0.0.8", 5433) == "stack"
    assert policy.world("192.0.2.1", 8000) == policy.world("192.0.2.1", 9000) == "host"
    assert policy.world("192.0.2.1", 9001) == "stack"
    assert policy.world("127.0.0.1", 80) == "stack"
    assert policy.world("::1", 80) == "host"
    assert policy.world("fd00::1", 80) == "host"


def test_all_leaves_nothing_to_decide() -> None:
    policy = as_policy("all")
    assert policy.is_the_stacks
    assert policy.world("127.0.0.1", 80) == "stack"
    assert policy.listen == "stack"
    assert not as_policy("default").is_the_stacks
    assert not as_policy("default").has_every_family
    both = as_policy("all", "both")
    assert both.has_every_family and not both.is_the_stacks
    assert as_policy(policy) is policy


def test_wildcards() -> None:
    assert is_wildcard("")
    assert is_wildcard("0.0.0.0")
    assert is_wildcard("::")
    assert not is_wildcard("127.0.0.1")
    with pytest.raises(ValueError, match="localhost"):
        is_wildcard("localhost")


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ([{"to": "10.0.0.1/8", "world": "host"}], "to must be a network, an address"),
        ([{"to": "example.org", "world": "host"}], "to must be a network, an address"),
        ([{"port": "http", "world": "host"}], "port must be like"),
        ([{"port": "9000-8000", "world": "host"}], "port must be like"),
        ([{"port": 65536, "world": "host"}], "port must be like"),
        ([{"world": "moon"}], "world must be one of host, stack, not 'moon'"),
        ([{"to": "*"}], "needs a world"),
        ([{"to": "*", "world": "host", "via": "eth0"}], "has to, port and world, not via"),
        ("most", 'policy must be "default", "all"'),
    ],
)
def test_wrong_policies_say_what_is_wrong(rules: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        as_policy(rules)


def test_wrong_listen_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="listen must be one of both, host, stack"):
        Policy(listen="none")  # type: ignore[arg-type]
