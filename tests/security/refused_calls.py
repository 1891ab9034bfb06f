"""
System calls that fail, in a process that asks for it: all calls of a kind, or the nth.

The kernel refuses them, by seccomp, as a container's profile or an older kernel would. Where only the nth is to fail,
every call of the kinds is told to another process first (`Judge`), which lets it through or answers in its place.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
import threading
from typing import NamedTuple

# <linux/seccomp.h>, <linux/filter.h>, <linux/prctl.h>
PR_SET_NO_NEW_PRIVS, SECCOMP_SET_MODE_FILTER = 38, 1
ALL_THREADS, NEW_LISTENER, AND_SAY_WHICH_FAILED = 1, 8, 16
ALLOW, ERRNO, NOTIFY = 0x7FFF0000, 0x00050000, 0x7FC00000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
RECEIVE, SEND, CONTINUE = 0xC0502100, 0xC0182101, 1
NUMBERS = {
    "x86_64": {
        "mmap": 9, "mprotect": 10, "munmap": 11, "ioctl": 16, "pread64": 17, "pwrite64": 18, "madvise": 28, "fcntl": 72,
        "ftruncate": 77, "seccomp": 317, "memfd_create": 319,
    },
    "aarch64": {
        "mmap": 222, "mprotect": 226, "munmap": 215, "ioctl": 29, "pread64": 67, "pwrite64": 68, "madvise": 233,
        "fcntl": 25, "ftruncate": 46, "seccomp": 277, "memfd_create": 279,
    },
}[platform.machine()]  # fmt: skip


class Call(NamedTuple):
    """Calls of one number, those only where arguments have certain values, and the error that they end with."""

    name: str
    error: int
    arguments: tuple[tuple[int, int], ...] = ()


REGION_BYTES = (4 << 30) + (64 << 20)
# Which calls of the snapshot engine there are, by what tells them from those of anybody else.
CALLS = {
    "address space": Call("mmap", errno.ENOMEM, ((1, REGION_BYTES & 0xFFFFFFFF), (3, 0x4022))),
    "image shown": Call("mmap", errno.ENOMEM, ((3, 0x4012),)),
    "image viewed": Call("mmap", errno.ENOMEM, ((2, 1), (3, 2))),
    "growth dropped": Call("mmap", errno.ENOMEM, ((3, 0x4032),)),
    "stack": Call("mmap", errno.ENOMEM, ((3, 0x24022),)),
    "growth": Call("mprotect", errno.ENOMEM, ((2, 3),)),
    "region unmapped": Call("munmap", errno.ENOMEM, ((1, REGION_BYTES & 0xFFFFFFFF),)),
    "giving back": Call("madvise", errno.EINVAL, ((2, 4),)),
    "file in memory": Call("memfd_create", errno.EMFILE),
    "its size": Call("ftruncate", errno.ENOSPC),
    "its bytes": Call("pwrite64", errno.ENOSPC),
    "its seal": Call("fcntl", errno.EPERM, ((1, 1033),)),
    "written pages": Call("ioctl", errno.ENOSYS, ((1, 0xC0606610),)),
    # Both before anything else, once in a process.
    "trial": Call("mmap", errno.ENOMEM, ((3, 0x4002),)),
    "page of its own": Call("mmap", errno.ENOMEM, ((1, 64 << 10), (2, 3), (3, 0x22))),
    "map of pages": Call("pread64", errno.EPERM, ((2, 48),)),
}


class Program(ctypes.Structure):
    """A filter, as the kernel takes it."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(calls: list[Call], flags: int, answer: int | None = None) -> int:
    """Put a filter before this process; what the kernel gives for it."""
    steps: list[tuple[int, int, int, int]] = []
    for call in calls:
        tests = [(0, NUMBERS[call.name]), *((16 + 8 * place, value) for place, value in call.arguments)]
        for at, (offset, value) in enumerate(tests):
            # What does not match goes on behind this call's answer.
            steps += [(LOAD_WORD, 0, 0, offset), (JUMP_IF_EQUAL, 0, 2 * (len(tests) - at) - 1, value)]
        steps.append((RETURN, 0, 0, ERRNO | call.error if answer is None else answer))
    steps.append((RETURN, 0, 0, ALLOW))
    program = Program(len(steps), b"".join(struct.pack("HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter")
    made = libc.syscall(NUMBERS["seccomp"], SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(program))
    if made < 0:
        raise OSError(ctypes.get_errno(), "the kernel takes no filter")
    return int(made)


def refuse(*names: str) -> None:
    """Make all calls of these kinds fail, from now on, in all threads."""
    install([CALLS[name] for name in names], ALL_THREADS)


class Defendant:
    """In the process whose calls fail: which is the next to."""

    def __init__(self, judge: int) -> None:
        self.judge = socket.socket(fileno=judge)

    def begin(self, name: str) -> None:
        """Have all calls of a kind told to the judge."""
        listener = install([CALLS[name]], ALL_THREADS | NEW_LISTENER | AND_SAY_WHICH_FAILED, NOTIFY)
        fds = array.array("i", [listener])
        self.judge.sendmsg([b"begin"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds.tobytes())])
        assert self.judge.recv(16) == b"begun"
        os.close(listener)

    def fail(self, nth: int) -> None:
        """Make the nth call from now on fail, none with 0."""
        self.judge.send(str(nth).encode())
        assert self.judge.recv(16) == b"so be it"

    def count(self) -> int:
        """Tell how many calls there were since."""
        self.judge.send(b"count")
        return int(self.judge.recv(16))


class Judge:
    """In another process: lets calls through, but for one."""

    def __init__(self, name: str) -> None:
        self.error = CALLS[name].error
        self.socket, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.count = self.nth = 0

    def start(self) -> None:
        """Begin, once the other process has its end of the socket."""
        self.theirs.close()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        """Answer what the other process asks, until it ends."""
        while True:
            told, fds, _, _ = socket.recv_fds(self.socket, 16, 1)
            match told:
                case b"":
                    self.socket.close()
                    return
                case b"begin":
                    threading.Thread(target=self.decide, args=fds, daemon=True).start()
                    self.socket.send(b"begun")
                case b"count":
                    self.socket.send(str(self.count).encode())
                case nth:
                    self.count, self.nth = 0, int(nth)
                    self.socket.send(b"so be it")

    def decide(self, listener: int) -> None:
        """Decide one call after the other, until nobody is left to make any."""
        while True:
            call = bytearray(80)
            try:
                fcntl.ioctl(listener, RECEIVE, call)
                self.count += 1
                number = struct.unpack_from("Q", call)[0]
                error, flags = (-self.error, 0) if self.count == self.nth else (0, CONTINUE)
                fcntl.ioctl(listener, SEND, struct.pack("QqiI", number, 0, error, flags))
            except OSError as problem:
                # The caller was interrupted by a signal, or is gone.
                if problem.errno not in (errno.ENOENT, errno.EINTR):
                    os.close(listener)
                    return
            if self.is_over(listener):
                os.close(listener)
                return

    def is_over(self, listener: int) -> bool:
        """Whether the last process behind the filter has ended."""
        import select

        poll = select.poll()
        poll.register(listener, select.POLLIN)
        return any(event & select.POLLHUP for _, event in poll.poll())
