"""How names are looked up: what resolv.conf says, and what a program may say."""

import socket
from pathlib import Path
from typing import Any

import pytest

from lklsock import Stack
from lklsock._resolv_conf import Config


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "resolv.conf"
    path.write_text(text)
    return Config.read(path, nameservers=())


def test_all_that_the_file_says_is_read(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        # a comment
        ; another
        nameserver 192.0.2.1
        search example.org example.net
        options ndots:3 timeout:7 rotate
        options attempts:4 edns0 inet6
        sortlist 10.0.0.0
        """,
    )
    assert config == Config(
        search=["example.org", "example.net"], ndots=3, timeout_s=7, attempts=4, rotate=True
    )


def test_numbers_are_capped_as_by_the_c_library(tmp_path: Path) -> None:
    config = read(tmp_path, "options ndots:99 timeout:99 attempts:99")
    assert (config.ndots, config.timeout_s, config.attempts) == (15, 30, 5)
    config = read(tmp_path, "options timeout:0 attempts:0 ndots:0 timeout:x ndots")
    assert (config.ndots, config.timeout_s, config.attempts) == (0, 1, 1)


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("domain a.example b.example", ("a.example",)),
        ("search a.example\nsearch b.example", ("b.example",)),
        ("search .", ()),
        ("", ("host.example",)),
    ],
)
def test_domains_to_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, search: tuple[str, ...]
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "name.host.example")
    assert read(tmp_path, text).search == search


def test_missing_file_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "name")
    assert Config.read(tmp_path / "none") == Config()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"nameservers": "10.0.0.53"}, r"nameservers must be a list, such as \['10.0.0.53'\]"),
        ({"nameservers": ["ns.example"]}, "nameservers must be addresses, not 'ns.example'"),
        ({"search": "example.org"}, "search must be a list"),
        ({"ndots": 16}, "ndots must be 0-15, not 16"),
        ({"timeout_s": 0}, r"timeout_s must be 0.001-30.0, not 0"),
        ({"attempts": 0}, "attempts must be 1-5, not 0"),
    ],
)
def test_nonsense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**given)


def test_nameservers_without_dnspython_name_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dns.resolver", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lklsock\[dns\]'"):
        Stack(nameservers=["10.0.0.53"])


def test_stack_has_no_nameservers_until_it_is_given_some() -> None:
    pytest.importorskip("dns.resolver")
    stack = Stack()
    assert tuple(stack.nameservers) == stack.dns.nameservers == ()
    stack.dns = Config(search=["example.org"])
    stack.nameservers = ["10.0.0.53", "fe80::53%tap0"]
    assert stack.dns == Config(nameservers=["10.0.0.53", "fe80::53%tap0"], search=["example.org"])
    assert Stack(nameservers=["10.0.0.53"]).nameservers == ("10.0.0.53",)
    assert stack.state == "new"
