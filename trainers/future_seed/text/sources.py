"""Where do the rows of a text task come from, and which bytes are they? A file, or a data set by name."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.contract import DataError, TrainerError

#: of what is named but not there; it becomes another digest when it is
ABSENT = "absent"

_HUGGING_FACE = re.compile(
    r"hf:(?P<name>[^:@]+)(?::(?P<config>[^:@]+))?:(?P<split>[^:@]+)(?:@(?P<revision>[^:@]+))?"
)

Row = dict[str, Any]


class UnreachableError(TrainerError):
    """The data set's server does not answer."""

    failure_class = "network"


@dataclass(frozen=True, slots=True, kw_only=True)
class HuggingFace:
    """A split of a data set, at a revision where one is given."""

    name: str
    config: str | None
    split: str
    revision: str | None


def hugging_face(source: str) -> HuggingFace | None:
    """What `source` names; None for a file. Raises DataError for what begins like one and is none."""
    if not source.startswith("hf:"):
        return None
    found = _HUGGING_FACE.fullmatch(source)
    if found is None:
        raise DataError(f"{source} is no data set: write hf:NAME:SPLIT, hf:NAME:CONFIG:SPLIT or .._@REVISION")
    return HuggingFace(**found.groupdict())


def digest_of(source: str) -> tuple[str, bool]:
    """A digest of the source, and whether it tells all that the rows depend on.

    A missing file is no error here, but when it is read: a round may be queued before its data has come.
    """
    if (named := hugging_face(source)) is not None:
        return hashlib.sha256(source.encode()).hexdigest(), named.revision is not None
    return file_digest(Path(source))


def file_digest(path: Path) -> tuple[str, bool]:
    """A digest of a file's bytes, and True; ABSENT and False where there is none."""
    try:
        told = path.stat()
        return _digest(path, told.st_mtime_ns, told.st_size), True
    except OSError:
        return ABSENT, False


@functools.lru_cache(maxsize=64)
def _digest(path: Path, mtime_ns: int, size: int) -> str:
    """A checkpoint has gigabytes, and several configs of a spec ask for the same."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_rows(source: str) -> Iterator[Row]:
    """The rows of the source, in its order."""
    if (named := hugging_face(source)) is not None:
        return _of_hugging_face(named)
    path = Path(source)
    if not path.is_file():
        raise DataError(
            f"there is no file {source} (looked in {Path.cwd()}): put it there, then submit the round "
            "under another id; what has run is not run again"
        )
    match path.suffix:
        case ".jsonl" | ".json":
            return _of_jsonl(path)
        case ".parquet":
            return _of_parquet(path)
    raise DataError(f"{source} is neither .jsonl nor .parquet: convert it, one object a line")


def _of_jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path} line {number} is no JSON ({error}): one object a line") from error
            if not isinstance(row, dict):
                raise DataError(f"{path} line {number} is no object: one object a line")
            yield row


def _of_parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise DataError(f"{path} needs the package pyarrow: pip install 'roundhouse[data]'") from error
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except (ArrowException, OSError) as error:
        raise DataError(f"{path} is no readable Parquet file: {error}") from error


def _of_hugging_face(named: HuggingFace) -> Iterator[Row]:
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"the data set {named.name} needs the package datasets: pip install 'roundhouse[data]', or "
            "export it to a .jsonl file and name that in `data`"
        ) from error
    try:
        rows = datasets.load_dataset(named.name, named.config, split=named.split, revision=named.revision)
    except Exception as error:  # its server, its cache and its loaders raise what they like
        if _is_unreachable(error):
            raise UnreachableError(
                f"the data set {named.name} cannot be fetched ({error}): give this machine a network, or "
                "export it elsewhere to a .jsonl file and name that in `data`"
            ) from error
        raise DataError(f"the data set {named.name} cannot be loaded: {error}") from error
    return iter(rows)


def _is_unreachable(error: BaseException | None) -> bool:
    """Whether the error, or what it was raised from, is about a connection."""
    while error is not None:
        names = {kind.__name__ for kind in type(error).__mro__}
        if names & {"ConnectionError", "TimeoutError", "Timeout", "TransportError", "OfflineModeIsEnabled"}:
            return True
        error = error.__cause__ or error.__context__
    return False
