"""Were these arrays made before, by whatever process? Then they are mapped from disk, else made and kept.

For data that takes longer to make than to read: generated sets, tokenised text. It lies in `data/` of a run's
`cache_dir`, a folder of .npy files for each key. Anything there may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.kept_data import FOLDER, KEY_FILE, delete, digest_of, hidden, prune

if TYPE_CHECKING:
    import numpy as np

#: bytes of all that is kept; what was used longest ago goes first
LIMIT_BYTES = 8 * 2**30


def prepared_arrays(
    cache_dir: Path,
    key: Mapping[str, Any],
    make: Callable[[], Mapping[str, np.ndarray]],
    *,
    limit_bytes: int = LIMIT_BYTES,
) -> dict[str, np.ndarray]:
    """What `make` gives, by name, made at most once for a `key` as long as it is kept; read-only.

    `key`, which JSON can hold, names everything the arrays depend on: the version of their generator, its
    arguments, digests of the files it reads. Several processes may ask at once: each gets whole arrays, equal
    ones. Where nothing can be written the arrays are made anew each time.
    """
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    folder = cache_dir / FOLDER / name
    kept = _read(folder)
    if kept is not None:
        return kept
    made = dict(make())
    try:
        _publish(folder, key, made)
        prune(cache_dir, limit_bytes, keep=folder)
    except OSError as error:
        print(f"prepared data is not kept: {error}", flush=True)
    return {name: _read_only(array) for name, array in made.items()}


def _read(folder: Path) -> dict[str, np.ndarray] | None:
    """None where there is nothing whole."""
    import numpy as np

    try:
        names = json.loads((folder / KEY_FILE).read_bytes())["arrays"]
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
    except (OSError, ValueError, KeyError):
        return None  # it was never there, is being deleted, or a disk has lost a part of it
    try:
        os.utime(folder / KEY_FILE)
    except OSError:
        pass  # a cache that may only be read is one all the same
    return arrays


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _publish(folder: Path, key: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Whole under its name, or not there. A crash may lose it, but never leaves a part that looks whole."""
    import numpy as np

    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = hidden(folder)
    partial.mkdir()
    try:
        for name, array in arrays.items():
            with (partial / f"{name}.npy").open("wb") as stream:
                np.save(stream, array, allow_pickle=False)
                stream.flush()
                os.fsync(stream.fileno())
        with (partial / KEY_FILE).open("w", encoding="utf-8") as stream:
            digests = {name: digest_of(partial / f"{name}.npy") for name in arrays}
            json.dump({"key": dict(key), "arrays": list(arrays), "digests": digests}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        if _read(folder) is None:
            delete(folder)  # what is there is not whole
        partial.rename(folder)
    except OSError:
        if _read(folder) is None:
            raise
        # another process was faster
    finally:
        shutil.rmtree(partial, ignore_errors=True)
