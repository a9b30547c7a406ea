"""A path cut and mended some thousand times under load. `make test-full`."""

import pytest
from own_process import in_own_process
from worlds import Transfer, joined, pause

CUTS = 2000
SIZE = 256 << 20


@pytest.mark.full
@in_own_process(timeout_s=900)
def test_no_byte_is_lost_over_thousands_of_cuts() -> None:
    with joined(rate_bit_per_s=100_000_000) as (left, right, client, server):
        transfer = Transfer(client, server, SIZE)
        for number in range(CUTS):
            wire = left.interface(f"wire{number % 2}")
            # By turns, so that one path is always whole; each long enough for many frames.
            wire.cut(carrier=number % 3 == 0)
            pause(0.002)
            wire.mend()
            pause(0.002)
        transfer.finish()
    for stack in (left, right):
        assert stack.state == "running"
        assert "WARNING" not in stack.console()
