"""What does an Xid mean, an error that NVIDIA's driver reports of a GPU? Whose fault it is, and what follows.

By the immediate action that NVIDIA's catalogue of Xids names for each:
https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

#: "program": the program did something the GPU cannot do, or was ended; the GPU is sound.
#: "restart": the GPU or its bus failed, and the next program finds it sound again.
#: "noted": nothing was lost.
#: "device": a reset or a reboot is needed, or nobody knows what it takes
Kind = Literal["program", "restart", "noted", "device"]

#: uncorrectable memory error; also what the counter of such errors is told as, where there are no events
UNCORRECTABLE_ECC = 48

_PROGRAM = {11, 13, 25, 31, 43, 45, 69}
_RESTART = {8, 32, *range(39, 42), 60, 68, *range(70, 73), *range(75, 78), 80, *range(82, 87), 88, 89, 94}
_RESTART |= {*range(96, 106), *range(126, 136), 139}
_NOTED = {14, 37, 38, 44, 63, 66, 67, 92, 93, 106, 107, 108, 121, 137, 141, 152}

_WORDS = {
    8: "the GPU stopped processing",
    13: "the program used the GPU in a way it cannot execute, such as out of bounds",
    31: "the program touched GPU memory that it does not own",
    32: "a command reached the GPU corrupted",
    43: "the program ran into a fault of its own on the GPU",
    45: "the program was torn down on the GPU",
    48: "an uncorrectable memory error",
    62: "the GPU's power controller halted",
    63: "a faulty piece of GPU memory was set aside",
    64: "a faulty piece of GPU memory could not be set aside",
    74: "a link to another GPU failed",
    79: "the GPU has fallen off the bus",
    92: "many memory errors, all of them corrected",
    94: "a memory error that hit one program",
    95: "a memory error that hit every program",
    109: "the GPU did not switch to another program in time",
    119: "the GPU's system processor does not answer",
    120: "the GPU's system processor failed",
    140: "a memory error that the driver could not put right",
}
_BY_KIND: dict[Kind, str] = {
    "program": "an error of the program",
    "restart": "an error of the GPU or its bus",
    "noted": "a remark of the driver",
    "device": "an error of the GPU or its driver",
}
#: failures that an error of the device explains better than the run itself does
_BLAMED = frozenset({"crash", "hung", "killed", "nan"})


def kind_of(xid: int) -> Kind:
    """Whose fault it is. An Xid that nobody knows is taken for the device's."""
    if xid in _PROGRAM:
        return "program"
    if xid in _RESTART:
        return "restart"
    return "noted" if xid in _NOTED else "device"


def words_of(xid: int) -> str:
    """`Xid 79: the GPU has fallen off the bus`."""
    return f"Xid {xid}: {_WORDS.get(xid, _BY_KIND[kind_of(xid)])}"


def stops_the_queue(xid: int) -> bool:
    """Whether nothing should start on the device before a person has looked at it."""
    return kind_of(xid) == "device"


def to_blame(xids: Iterable[int], failure_class: str | None) -> tuple[int, ...]:
    """The Xids that explain a failure of that class; none where the run explains it better itself."""
    if failure_class not in _BLAMED:
        return ()
    return tuple(xid for xid in xids if kind_of(xid) in ("device", "restart"))


def remedy(device: str) -> str:
    """What a person can do about a device that needs one."""
    return (
        f"see `journalctl -k --grep NVRM`, reset {device} with `nvidia-smi --gpu-reset` or reboot,"
        " then `schedctl resume`"
    )
