"""What booting a stack of 64 MB takes: time, memory and threads of the process."""

from __future__ import annotations

from collections.abc import Iterator

from figure import Figure, Target, main
from programs import library, numbers

RUNS = 21
MEMORY_MB = 64


def benchmark(runs: int) -> Iterator[Figure]:
    """Rows for the kernel's boot alone, loading it from the file, memory and threads added."""
    booted = [numbers("boot", library(), MEMORY_MB)[0] for _ in range(runs)]
    load_ns, boot_ns, rss_kb, threads = (list(column) for column in zip(*booted, strict=True))
    yield Figure(
        "boot", "ms", single=[ns / 1e6 for ns in boot_ns], target=Target("lklsock", "<=", 4)
    )
    yield Figure("boot-load", "ms", single=[ns / 1e6 for ns in load_ns])
    yield Figure(
        "boot-rss", "MB", single=[kb / 1024 for kb in rss_kb], target=Target("lklsock", "<=", 7)
    )
    yield Figure("boot-threads", "threads", single=threads, target=Target("lklsock", "<=", 1))


if __name__ == "__main__":
    main(benchmark, RUNS)
