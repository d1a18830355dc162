"""Which policy is meant by `screen_confirm:alpha=0.2`, or by the path of a file that nobody installed?"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from policies import Policy, make_policy


def policy_named(text: str) -> Policy:
    """The policy `NAME[:OPTION=VALUE,...]`; a NAME that ends in `.py` is the path of a policy file.

    Values are TOML, and text needs no quotes. Raises ValueError with every problem, a line each.
    """
    name, _, given = text.partition(":")
    options = _options(given)
    return _from_file(Path(name), options) if name.endswith(".py") else make_policy(name, options)


def _options(given: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for each in filter(None, given.split(",")):
        key, is_there, value = each.partition("=")
        if not is_there:
            raise ValueError(f"{each!r}: an option is written NAME=VALUE")
        options[key.strip()] = _value(value.strip())
    return options


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _from_file(path: Path, options: Mapping[str, Any]) -> Policy:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(f"policy_file_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # a dataclass looks its own module up there
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    policy_type = getattr(module, "Policy", None)
    if not dataclasses.is_dataclass(policy_type) or not isinstance(policy_type, type):
        raise ValueError(f"{path}: a policy file holds a frozen dataclass called Policy")
    known = [field.name for field in dataclasses.fields(policy_type)]
    unknown = [f"{key}: unknown option; known: {', '.join(known)}" for key in options if key not in known]
    if unknown:
        raise ValueError("\n".join(unknown))
    policy: Policy = policy_type(**options)
    return policy
