"""The file of host names."""

import os
from pathlib import Path

from lklsock._hosts import Entry, HostsFile

TEXT = """\
127.0.0.1   localhost
10.0.0.1    www.example.org  www  Web   # the first
fd00::01    www.example.org
10.0.0.2    www
not-an-address  www
10.0.0.3
"""


def hosts(tmp_path: Path, text: str = TEXT) -> HostsFile:
    path = tmp_path / "hosts"
    path.write_text(text)
    return HostsFile(path)


def test_every_line_with_the_name_is_found(tmp_path: Path) -> None:
    found = hosts(tmp_path).named("WWW")
    assert [entry.address for entry in found] == ["10.0.0.1", "10.0.0.2"]
    assert found[0] == Entry("10.0.0.1", "www.example.org", ("www", "Web"))


def test_final_dot_does_not_matter(tmp_path: Path) -> None:
    found = hosts(tmp_path).named("www.example.org.")
    assert [(entry.address, entry.version) for entry in found] == [("10.0.0.1", 4), ("fd00::1", 6)]


def test_addresses_have_names(tmp_path: Path) -> None:
    file = hosts(tmp_path)
    entry = file.of_address("fd00::1")
    assert entry is not None
    assert entry.name == "www.example.org"
    assert file.of_address("10.0.0.3") is None


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    file = hosts(tmp_path)
    assert not file.named("new")
    (tmp_path / "other").write_text("10.0.0.9 new\n")
    os.replace(tmp_path / "other", tmp_path / "hosts")
    assert [entry.address for entry in file.named("new")] == ["10.0.0.9"]


def test_missing_file_is_empty(tmp_path: Path) -> None:
    assert HostsFile(tmp_path / "none").named("localhost") == []
