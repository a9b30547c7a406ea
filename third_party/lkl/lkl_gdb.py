"""For gdb: where the kernel's coroutines are. Takes the debug build's liblkl.so.debug.

    (gdb) source third_party/lkl/lkl_gdb.py
    (gdb) lkl-tasks

A host thread's backtrace ends where it entered the kernel, and a task that sleeps is on no
thread's stack; this walks the stacks of all tasks by their frame pointers.
"""

import gdb

DEPTH = 24
# Where lkl_context_switch() leaves what goes on and the frame pointer, in words (context_*.h).
SAVED_PC, SAVED_FRAME = 0, 1


def task_type():
    """The type of a task."""
    return gdb.lookup_type("struct task_struct")


def container(node, member):
    """The task whose list node `member` this is."""
    offset = next(f.bitpos // 8 for f in task_type().fields() if f.name == member)
    return gdb.Value(int(node) - offset).cast(task_type().pointer())


def tasks():
    """Every task: the processes, and the threads of each."""
    init = gdb.parse_and_eval("&init_task")
    yield init
    node = init["tasks"]["next"]
    while int(node) != int(init["tasks"].address):
        leader = container(node, "tasks")
        thread = leader["signal"]["thread_head"]["next"]
        while int(thread) != int(leader["signal"]["thread_head"].address):
            yield container(thread, "thread_node")
            thread = thread.dereference()["next"]
        node = node.dereference()["next"]


def word(address):
    """The word in the process's memory there."""
    return int(gdb.Value(address).cast(gdb.lookup_type("unsigned long").pointer()).dereference())


def frames(task):
    """The program counters of a task that is switched out, innermost first."""
    stack = int(task["thread"]["sp"])
    counter, frame = word(stack + 8 * SAVED_PC), word(stack + 8 * SAVED_FRAME)
    for _ in range(DEPTH):
        yield counter
        if not stack < frame < stack + (1 << 16):
            return
        frame, counter = word(frame), word(frame + 8)


class LklTasks(gdb.Command):
    """lkl-tasks: the kernel's tasks, and where each of them stands."""

    def __init__(self):
        super().__init__("lkl-tasks", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        current = int(gdb.parse_and_eval("lkl_current"))
        for task in tasks():
            running = int(task) == current
            print(f"{int(task['pid']):5} {task['comm'].string()}{'  (current)' if running else ''}")
            for counter in frames(task):
                symbol = gdb.execute(f"info symbol {counter:#x}", to_string=True).split(" in ")[0]
                print(f"        {counter:#x} {symbol.strip()}")


LklTasks()
