"""What happens to an effect when the disk is full? It is tried again until there is room."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from scheduler.effects.files import NO_ROOM
from scheduler.effects.records import DiskFullError
from scheduler.rounds.errors import RecordsWriteError

#: between two tries on a full disk
RETRY_SECONDS = 1.0

T = TypeVar("T")


class Patience:
    """Nothing may go on that is not on the disk, so a full disk stops the daemon's thread where it is, once
    the room that was set aside is used up too.

    Runs in progress go on meanwhile: their budgets are their workers' own.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        may_wait: Callable[[], bool],
        *,
        make_room: Callable[[], bool] = lambda: False,
        still_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._say = say
        self._may_wait = may_wait
        #: gives up what was set aside for this; whether that was anything
        self._make_room = make_room
        #: called between two tries
        self._still_waiting = still_waiting

    def on_full_disk(self, effect: Callable[[], T]) -> T:
        """What `effect` returns, however long the disk is full; it must be one that can be repeated.

        Raises RecordsWriteError when the daemon has been told to stop and may not wait.
        """
        is_told = False
        while True:
            try:
                return effect()
            except (DiskFullError, OSError) as error:
                if isinstance(error, OSError) and error.errno not in NO_ROOM:
                    raise
                has_room = self._make_room()
                if not has_room and not self._may_wait():
                    raise RecordsWriteError("the disk is full and the daemon was told to stop") from error
                if not is_told:
                    self._say(f"the disk is full; free some space: {error}")
                is_told = True
                if not has_room:
                    self._still_waiting()
                    time.sleep(RETRY_SECONDS)
