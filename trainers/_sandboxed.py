"""What runs inside the sandbox of `_sandbox.py`? A program that nobody has read, after every door is shut.

Executed by path in an interpreter of its own. It reads a request on stdin, and on the descriptor that its
argument numbers it says that the doors are shut and then, if the program ran to its end, the request's token.
Imports nothing but the standard library.

Three doors, none of which needs a privilege: limits on time, memory and files (setrlimit); a filter that lets
through the calls a pure computation makes and no other (seccomp: no new process or thread, no socket, no file
opened to be written, no signal to another process); and, where the kernel has it, no file that may be read
but Python's own and the system's libraries (Landlock).
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterator
from typing import Any

#: said when the doors are shut, before the program begins; and where one cannot be, with the reason after it
HELD, UNHELD = b"held:", b"unheld:"

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SIGKILL = 9

#: AUDIT_ARCH of linux/audit.h, by machine
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

#: calls that touch nothing outside of the process; -1 where a machine has none. The numbers are those of
#: asm/unistd_64.h (x86-64) and asm-generic/unistd.h (aarch64)
HARMLESS = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "pread64": (17, 67), "readv": (19, 65), "writev": (20, 66), "access": (21, -1), "pipe": (22, -1),
    "select": (23, -1), "sched_yield": (24, 124), "mremap": (25, 216), "madvise": (28, 233),
    "dup": (32, 23), "nanosleep": (35, 101), "getpid": (39, 172), "exit": (60, 93), "uname": (63, 160),
    "stat": (4, -1), "lstat": (6, -1), "poll": (7, -1), "getcwd": (79, 17), "readlink": (89, -1),
    "gettimeofday": (96, 169), "getrlimit": (97, 163), "getrusage": (98, 165), "sysinfo": (99, 179),
    "times": (100, 153), "getuid": (102, 174), "getgid": (104, 176), "geteuid": (107, 175),
    "getegid": (108, 177), "getppid": (110, 173), "sigaltstack": (131, 132), "arch_prctl": (158, -1),
    "gettid": (186, 178), "time": (201, -1), "futex": (202, 98), "sched_getaffinity": (204, 123),
    "getdents64": (217, 61), "restart_syscall": (219, 128), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "exit_group": (231, 94),
    "newfstatat": (262, 79), "readlinkat": (267, 78), "faccessat": (269, 48), "pselect6": (270, 72),
    "ppoll": (271, 73), "set_robust_list": (273, 99), "pipe2": (293, 59), "getrandom": (318, 278),
    "statx": (332, 291), "rseq": (334, 293), "faccessat2": (439, 439),
}  # fmt: skip

#: calls of which only some uses are harmless
OPEN, OPENAT, FCNTL, PRLIMIT, CLONE3 = (2, -1), (257, 56), (72, 25), (302, 261), (435, 435)

#: every flag of open(2) by which a file comes to be, changes or may be written; O_TMPFILE holds the bit of
#: O_DIRECTORY, with which folders are listed
WRITING_FLAGS = (
    os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | (os.O_TMPFILE & ~os.O_DIRECTORY)
)

#: commands of fcntl(2) that concern the descriptor alone
FCNTL_COMMANDS = (0, 1, 2, 3, 1030)

#: of linux/seccomp.h: let it through, answer with an error, end the process
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
EPERM, EACCES, ENOSYS = 1, 13, 38

#: of linux/bpf_common.h: load a word, jump if equal, jump if any bit is set, return
LOAD, JUMP_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x45, 0x06

#: landlock_create_ruleset, landlock_add_rule, landlock_restrict_self: the same numbers on every machine
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
#: every right on files that Landlock's first version knows, and those to read
ALL_RIGHTS, READ_RIGHTS = (1 << 13) - 1, 1 << 2 | 1 << 3

READABLE = (
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/usr/share/zoneinfo",
    "/etc/localtime",
    "/dev/urandom",
)


def main() -> None:
    verdict = int(sys.argv[1])
    request = json.loads(sys.stdin.buffer.read())
    try:
        shut_the_doors(request["seconds"], request["memory_bytes"])
    except (OSError, ValueError) as error:
        os.write(verdict, UNHELD + str(error).encode())
        return
    os.write(verdict, HELD)
    try:
        names: dict[str, Any] = {"__name__": "__solution__"}
        for part in request["parts"]:
            exec(compile(part, "<solution>", "exec"), names)
    except BaseException:  # whatever it raises, SystemExit included, it did not run to its end
        os._exit(1)
    os.write(verdict, request["token"].encode())
    os._exit(0)


def shut_the_doors(seconds: int, memory_bytes: int) -> None:
    """From here on the process can compute, read libraries and end. Raises OSError if a door stays open."""
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    for limit, value in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(limit, (value, value))
    _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")
    _let_read_libraries_only(libc)
    _filter_calls(libc)


def _filter_calls(libc: ctypes.CDLL) -> None:
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise OSError(f"no system call filter is known for {machine}")
    code = b"".join(_filter(list(ARCHITECTURES).index(machine), ARCHITECTURES[machine]))
    instructions = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(instructions))
    _checked(libc.prctl(PR_SET_SECCOMP, 2, program, 0, 0), "prctl(PR_SET_SECCOMP)")


def _filter(machine: int, architecture: int) -> Iterator[bytes]:
    """The filter, in classic BPF. Every check ends in its own return, so that all jumps are short."""
    yield _instruction(LOAD, 4)
    yield _instruction(JUMP_EQUAL, architecture, 1, 0)
    yield _instruction(RETURN, KILL)
    yield _instruction(LOAD, 0)
    for numbers in HARMLESS.values():
        if numbers[machine] >= 0:
            yield from _if_equal(numbers[machine], [_instruction(RETURN, ALLOW)])
    for numbers, argument in ((OPEN, 1), (OPENAT, 2)):
        if numbers[machine] >= 0:
            yield from _if_equal(
                numbers[machine],
                [
                    _instruction(LOAD, _low_word(argument)),
                    _instruction(JUMP_SET, WRITING_FLAGS, 0, 1),
                    _instruction(RETURN, ERRNO | EACCES),
                    _instruction(RETURN, ALLOW),
                ],
            )
    commands = [
        part
        for command in FCNTL_COMMANDS
        for part in (_instruction(JUMP_EQUAL, command, 0, 1), _instruction(RETURN, ALLOW))
    ]
    refused = _instruction(RETURN, ERRNO | EPERM)
    yield from _if_equal(FCNTL[machine], [_instruction(LOAD, _low_word(1)), *commands, refused])
    # Limits may be read, which is when there is no new one: both words of the pointer are zero.
    is_null = [
        part
        for word in (_low_word(2), _low_word(2) + 4)
        for part in (_instruction(LOAD, word), _instruction(JUMP_EQUAL, 0, 1, 0), refused)
    ]
    yield from _if_equal(PRLIMIT[machine], [*is_null, _instruction(RETURN, ALLOW)])
    # glibc then falls back to clone, which is refused below.
    yield from _if_equal(CLONE3[machine], [_instruction(RETURN, ERRNO | ENOSYS)])
    yield refused


def _if_equal(number: int, block: list[bytes]) -> Iterator[bytes]:
    """`block`, which has to end in a return, where the call is `number`."""
    yield _instruction(JUMP_EQUAL, number, 0, len(block))
    yield from block


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, operand)


def _low_word(argument: int) -> int:
    """Where a system call's argument lies in struct seccomp_data, on a little-endian machine."""
    return 16 + 8 * argument


def _let_read_libraries_only(libc: ctypes.CDLL) -> None:
    """Nothing where the kernel lacks Landlock: what a program reads, it can tell nobody."""
    ruleset = libc.syscall(LANDLOCK_CREATE, struct.pack("Q", ALL_RIGHTS), ctypes.c_size_t(8), 0)
    if ruleset < 0:
        return
    own = (f"{sys.base_prefix}/lib", f"{sys.base_exec_prefix}/lib")
    for path in {*READABLE, *own}:
        try:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # this machine has none
        rights = READ_RIGHTS if os.path.isdir(path) else 1 << 2
        rule = struct.pack("=Qi", rights, parent)
        _checked(libc.syscall(LANDLOCK_ADD, ruleset, 1, rule, 0), f"landlock_add_rule({path})")
        os.close(parent)
    _checked(libc.syscall(LANDLOCK_RESTRICT, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def _checked(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


if __name__ == "__main__":
    main()
