"""When is it worth looking into a folder? A hint from the kernel; the look itself is the truth."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

#: watchfiles wakes up this often to group changes; its default of 50 costs 0.25 % of a core
_STEP_MILLISECONDS = 500


class FolderWatch:
    """A thread that posts a wake-up after something changed in one of the folders.

    It may post too often and, where the kernel's watches run out, not at all: then `report` hears of it once
    and periodic looks have to do.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        post_wakeup: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        self._folders = folders
        self._post_wakeup = post_wakeup
        self._report = report
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="folder-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No wake-up is posted after the return."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        # Loaded here: schedctl uses the spool without watching anything.
        from watchfiles import watch as watch_changes

        try:
            for _ in watch_changes(
                *self._folders,
                watch_filter=None,
                step=_STEP_MILLISECONDS,
                stop_event=self._stop,
                recursive=False,
                raise_interrupt=False,
            ):
                self._post_wakeup()
        except (OSError, RuntimeError) as error:
            self._report(f"watching {self._folders[0]} failed ({error}); it is looked at periodically")


def watch(
    folder: Path | Sequence[Path],
    post_wakeup: Callable[[], None],
    *,
    report: Callable[[str], None] = lambda _: None,
) -> FolderWatch:
    """Post a wake-up within about a second of a change in `folder` (not below it), until `stop`."""
    folders = [folder] if isinstance(folder, Path) else list(folder)
    return FolderWatch(folders, post_wakeup, report)
