"""Links that stand on something of the host: they have the carrier of that, too."""

import errno
import re

import pytest
from host_network import command, make_tap, requires_root, requires_tun
from own_process import in_own_process
from worlds import await_carrier

from lklsock import default_stack
from lklsock.link import Impair, Tap

pytestmark = [pytest.mark.root, requires_root, requires_tun]


def make_uplink() -> None:
    command("ip", "link", "add", "up0", "type", "veth", "peer", "name", "net0")
    command("ip", "addr", "add", "192.0.2.7/24", "dev", "up0")
    for device in ("up0", "net0"):
        command("ip", "link", "set", device, "up")


@pytest.mark.parametrize("uplink", ["up0", "192.0.2.7"])
@pytest.mark.parametrize("impaired", [False, True])
@in_own_process
def test_link_has_the_carrier_of_its_uplink(namespace: str, uplink: str, impaired: bool) -> None:
    make_uplink()
    make_tap("tap0", "10.0.0.1/24")
    tap = Tap("tap0", uplink=uplink)
    interface = default_stack().add_link(Impair(tap, delay_ms=1) if impaired else tap)
    await_carrier(interface)
    for change in (
        "link set net0 {down|up}",
        "addr {del|add} 192.0.2.7/24 dev up0",
        "link set tap0 {down|up}",
    ):
        before, lose, regain, after = re.split(r"[{|}]", change)
        for middle, carrier in ((lose, False), (regain, True)):
            command("ip", *f"{before}{middle}{after}".split())
            await_carrier(interface, carrier)


@in_own_process
def test_uplink_that_is_missing_is_named(namespace: str) -> None:
    make_tap("tap0")
    with pytest.raises(OSError, match="uplink eth9: No such device on this host") as refused:
        default_stack().add_link(Tap("tap0", uplink="eth9"))
    assert refused.value.errno == errno.ENODEV
    # The device is free again.
    default_stack().add_link(Tap("tap0"))
