"""What can go wrong that a person has to know of, and with which exit code does schedctl end?"""

from __future__ import annotations

import os


class RoundhouseError(Exception):
    """Something failed that a person has to look at.

    Base of every error with a message for a person. The message says what to do next; without one, the first
    paragraph of the class's docstring is the message.
    """

    exit_code = 1

    def __str__(self) -> str:
        return super().__str__() or " ".join((type(self).__doc__ or "").partition("\n\n")[0].split())


class UsageError(RoundhouseError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


class UnknownIdError(RoundhouseError):
    """No round, task or run of that name exists."""

    exit_code = 3


class SettingsError(RoundhouseError):
    """roundhouse.toml or the environment holds a setting that cannot be used."""

    exit_code = os.EX_USAGE  # 64


class AlreadyRunningError(RoundhouseError):
    """Another daemon owns this home or this GPU."""

    exit_code = os.EX_TEMPFAIL  # 75


class CorruptRecordsError(RoundhouseError):
    """A record in the middle of a file is damaged; going on would silently lose it."""

    exit_code = os.EX_CONFIG  # 78


class RecordsWriteError(RoundhouseError):
    """A record could not be made durable. After a failed fsync only a fresh process may go on."""

    exit_code = 1
