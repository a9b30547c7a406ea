"""Does what is planned, step by step, and takes it back.

Each step is noted before it is done, in /run, which lasts as long as what is done. So nothing is
forgotten by a failure, or by the death of this process in the middle; and only what is noted is
ever taken back.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import SetupError, command
from .plan import Plan, Uplink, is_root
from .step import Step

_DIRECTORY = Path("/run/lklsock")
_VERSION = 1


class Record:
    """What was done for one name of devices, in this network namespace."""

    def __init__(self, name: str) -> None:
        namespace = os.stat("/proc/self/ns/net").st_ino
        self.path = _DIRECTORY / f"setup-{name}-{namespace}.json"
        self.asked: dict[str, Any] = {}
        self.uplinks: list[Uplink] = []
        self.steps: list[Step] = []
        self.exists = False

    @staticmethod
    def of(name: str) -> Record:
        """What is on record.

        Raises:
            SetupError: It is not root's, or cannot be read.
        """
        record = Record(name)
        try:
            with open(record.path, encoding="utf-8") as file:
                _check_owner(os.fstat(file.fileno()), record.path)
                read = json.load(file)
        except FileNotFoundError:
            return record
        except (OSError, ValueError) as error:
            raise SetupError(f"{record.path}: {error}") from None
        record.asked = read["asked"]
        record.uplinks = [
            Uplink(**{**each, "taps": tuple(each["taps"])}) for each in read["uplinks"]
        ]
        record.steps = [Step.of_record(each) for each in read["steps"]]
        record.exists = True
        return record

    def write(self) -> None:
        """Puts it in the place of the old one, or nothing if there is nothing left."""
        if not self.steps:
            self.path.unlink(missing_ok=True)
            self.exists = False
            return
        _DIRECTORY.mkdir(mode=0o755, exist_ok=True)
        _check_owner(_DIRECTORY.lstat(), _DIRECTORY)
        new = self.path.with_suffix(".new")
        content = {
            "version": _VERSION,
            "asked": self.asked,
            "uplinks": [vars(uplink) for uplink in self.uplinks],
            "steps": [step.recorded() for step in self.steps],
        }
        new.write_text(json.dumps(content, indent=1), encoding="utf-8")
        new.replace(self.path)
        self.exists = True


def apply(make: Callable[[], Plan]) -> int:
    """Does it, or nothing.

    Args:
        make: Makes the plan from what the host has at the time.

    Returns:
        0.

    Raises:
        SetupError: It cannot be done; or a step failed, and the others were taken back.
    """
    _check_root()
    plan = make()
    record = Record.of(plan.name)
    if record.exists:
        if record.asked != plan.asked:
            raise SetupError(
                f"there are devices {plan.name}... that were set up otherwise: first "
                f"`setup tap --name {plan.name} --undo`, or choose another --name"
            )
        if all(step.is_there() for step in record.steps):
            print("setup: all of it is there already")
            return 0
        print("setup: a part of it has gone: it is made anew", file=sys.stderr)
        _take_back(record)
        plan = make()
    _check_free(plan)
    record.asked, record.uplinks = plan.asked, list(plan.uplinks)
    try:
        for step in plan.steps:
            record.steps.append(step)
            record.write()
            step.apply()
    except BaseException as error:
        print("setup: it failed, and is taken back", file=sys.stderr)
        # What failed was not done. But what it was interrupted in may be.
        if isinstance(error, SetupError):
            record.steps.pop()
        _take_back(record)
        raise
    print("\n".join(plan.hints))
    return 0


def undo(name: str) -> int:
    """Takes back what is on record.

    Raises:
        SetupError: There is nothing; or something cannot be taken back, and stays on record.
    """
    _check_root()
    record = Record.of(name)
    if not record.exists:
        raise SetupError(f"no devices {name}... have been set up here by --apply")
    _take_back(record)
    print("setup: all of it is taken back")
    return 0


def _take_back(record: Record) -> None:
    failures: list[str] = []
    kept: list[Step] = []
    while record.steps:
        step = record.steps[-1]
        try:
            _take_back_step(step)
        except SetupError as error:
            failures.append(str(error))
            kept.insert(0, step)
        record.steps.pop()
    record.steps = kept
    record.write()
    if failures:
        raise SetupError(f"not taken back: {'; '.join(failures)}", 1)


def _take_back_step(step: Step) -> None:
    if step.do[:3] == ("ip", "tuntap", "add"):
        _remove_tap(step)
    else:
        step.take_back()


def _remove_tap(step: Step) -> None:
    """One that has our mark, or none: --apply may have come no further. Another's is kept."""
    device = Path("/sys/class/net", step.do[4])
    if not device.exists():
        return
    alias = (device / "ifalias").read_text(encoding="utf-8").strip()
    if (device / "tun_flags").exists() and (not alias or alias.startswith("lklsock setup ")):
        command(step.undo)


def _check_free(plan: Plan) -> None:
    """Refuses what would touch something of somebody else's."""
    for step in plan.steps:
        if step.do[:3] == ("ip", "tuntap", "add") and Path("/sys/class/net", step.do[4]).exists():
            raise SetupError(f"there is an interface {step.do[4]} already: choose another --name")
        if step.there[:1] in (("rule",), ("nft",)) and step.is_there():
            raise SetupError(f"there is a {' '.join(step.there)} already, and it is not ours")
        if step.undo[:3] == ("ip", "route", "flush") and step.is_there():
            raise SetupError(f"the routing table {step.there[-1]} is in use")
    shown = command(["ip", "-4", "-json", "route", "show", "table", "all"])
    for uplink in plan.uplinks:
        network = ipaddress.ip_network(uplink.network)
        for route in json.loads(shown or "[]"):
            try:
                taken = ipaddress.ip_network(route["dst"])
            except ValueError:
                # "default"
                continue
            if taken.prefixlen and network.overlaps(taken):
                raise SetupError(
                    f"{uplink.network} overlaps with {taken} of {route.get('dev', 'this host')}: "
                    "choose another --network"
                )


def _check_root() -> None:
    if not is_root():
        raise SetupError("--apply and --undo take root; without them, the commands are printed")


def _check_owner(status: os.stat_result, path: Path) -> None:
    if status.st_uid != 0 or stat.S_IMODE(status.st_mode) & 0o022:
        raise OSError(errno.EPERM, f"{path} is not root's alone")
