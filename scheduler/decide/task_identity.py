"""What of a task stays the same from decision to decision? Its policy, and the protocols of its stages."""

from __future__ import annotations

from collections.abc import Mapping

from policies import Policy, make_policy
from policies._memo import Memo, Same
from scheduler.decide.baseline_store import family_of
from scheduler.decide.task_state import TaskState
from scheduler.rounds.identity import Device, protocol_of
from scheduler.rounds.round import Task

#: tasks whose answers are kept; a plan asks for those of the round in hand, over and over
KEPT = 16

_POLICIES: Memo[Policy] = Memo(KEPT)
_PROTOCOLS: Memo[Mapping[str, str]] = Memo(KEPT)
_FAMILIES: Memo[Mapping[str, str]] = Memo(KEPT)


def policy_of(task: Task) -> Policy:
    """The policy that decides about the task."""
    return _POLICIES.get(Same(task), lambda: make_policy(task.policy.name, task.policy.options))


def protocols_of(task: TaskState, device: Device) -> Mapping[str, str]:
    """Protocol by stage, as things are now."""
    calibrated = () if task.probed is None else tuple(task.probed.max_steps.items())
    return _PROTOCOLS.get(
        (Same(task.task), task.bsz, calibrated, device),
        lambda: {
            stage.name: protocol_of(task.task, task.budget(stage.name), task.bsz, device)
            for stage in task.task.stages
        },
    )


def families_of(task: Task, protocols: Mapping[str, str]) -> Mapping[str, str]:
    """By stage, the name of all runs of its baseline that differ in their seed alone."""
    return _FAMILIES.get(
        (Same(task), tuple(protocols.items())),
        lambda: {
            stage: family_of(protocol, task.baseline.config, task.objective.metric)
            for stage, protocol in protocols.items()
        },
    )
