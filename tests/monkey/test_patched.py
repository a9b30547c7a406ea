"""patched(): for a while, by `with` and as a decorator."""

from own_process import in_own_process


@in_own_process
def test_with_patches_inside_only() -> None:
    import lklsock

    with lklsock.patched():
        assert lklsock.is_patched()
    assert not lklsock.is_patched()


@in_own_process
def test_an_error_inside_ends_it_and_goes_on() -> None:
    import pytest

    import lklsock

    with pytest.raises(KeyError):
        with lklsock.patched():
            raise KeyError
    assert not lklsock.is_patched()


@in_own_process
def test_an_inner_one_undoes_what_it_changed() -> None:
    import lklsock

    lklsock.patch(mptcp="prefer")
    with lklsock.patched(mptcp="off", policy="all"):
        with lklsock.patched(mptcp="require"):
            assert lklsock.report().settings["mptcp"] == "require"
            assert lklsock.report().settings["policy"] == "all"
        assert lklsock.default_stack().mptcp_mode == "off"
    assert lklsock.report().settings["policy"] == "default"
    assert lklsock.default_stack().mptcp_mode == "prefer"
    assert lklsock.is_patched()


@in_own_process
def test_two_that_overlap_both_count_until_they_end() -> None:
    import lklsock

    first, second = lklsock.patched(mptcp="off"), lklsock.patched(mptcp="require")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert lklsock.is_patched()
    assert lklsock.default_stack().mptcp_mode == "require"
    second.__exit__(None, None, None)
    assert not lklsock.is_patched()
    assert lklsock.default_stack().mptcp_mode == "prefer"


@in_own_process
def test_patch_inside_takes_effect_at_once_and_stays() -> None:
    import lklsock

    with lklsock.patched(mptcp="off"):
        lklsock.patch(mptcp="require")
        assert lklsock.default_stack().mptcp_mode == "require"
    assert lklsock.is_patched()
    assert lklsock.default_stack().mptcp_mode == "require"


@in_own_process
def test_unpatch_inside_ends_all() -> None:
    import lklsock

    with lklsock.patched():
        lklsock.unpatch()
        assert not lklsock.is_patched()
    assert not lklsock.is_patched()


@in_own_process
def test_decorated_functions_run_patched() -> None:
    import lklsock

    @lklsock.patched()
    def depth(n: int) -> list[bool]:
        """What it is about."""
        return [lklsock.is_patched(), *(depth(n - 1) if n else [])]

    assert depth(2) == [True, True, True]
    assert (depth.__name__, depth.__doc__) == ("depth", "What it is about.")
    assert not lklsock.is_patched()


@in_own_process
def test_decorated_async_functions_run_patched() -> None:
    import asyncio
    import inspect

    import lklsock

    @lklsock.patched()
    async def inside() -> bool:
        await asyncio.sleep(0)
        return lklsock.is_patched()

    assert inspect.iscoroutinefunction(inside)
    coroutine = inside()
    assert not lklsock.is_patched()
    assert asyncio.run(coroutine)
    assert not lklsock.is_patched()


@in_own_process
def test_decorated_generators_run_patched() -> None:
    from collections.abc import Generator

    import lklsock

    @lklsock.patched()
    def states() -> Generator[bool, str, str]:
        sent = yield lklsock.is_patched()
        return sent

    generator = states()
    assert not lklsock.is_patched()
    assert next(generator)
    try:
        generator.send("result")
    except StopIteration as end:
        assert end.value == "result"
    assert not lklsock.is_patched()


@in_own_process
def test_classes_and_async_generators_are_refused() -> None:
    from collections.abc import AsyncIterator

    import pytest

    import lklsock

    async def states() -> AsyncIterator[bool]:
        yield True

    for target in (states, type("Some", (), {})):
        with pytest.raises(TypeError, match="use `with patched\\(\\):` inside"):
            lklsock.patched()(target)
