"""The processes below a process, whatever the clock does."""

from collections import defaultdict

import psutil


def processes_below(pid: int) -> list[psutil.Process]:
    """Children of a process, their children, and so on; the nearest first.

    `psutil.Process.children` leaves out a child that looks older than its parent, and reads the
    time of boot, which the kernel computes from the clock, anew for each of the two: whenever that
    is a second off, there are no children.
    """
    children = defaultdict(list)
    for process in psutil.process_iter(["ppid"]):
        children[process.info["ppid"]].append(process)
    found: list[psutil.Process] = []
    waiting = [pid]
    for parent in waiting:
        found += children[parent]
        waiting += [child.pid for child in children[parent]]
    return found
