"""What is decided where everything is measured and nothing judged? Every config goes on, unless it breaks."""

from __future__ import annotations

from policies._guards import broken_class
from policies.evidence import Decision, Hold, Promote, Prune, TaskEvidence, Verdict
from policies.variant_by_variant import VariantByVariant


class Measured(VariantByVariant):
    """Decides that every config runs every stage, and claims nothing."""

    __slots__ = ()

    def after(self, stage: str, evidence: TaskEvidence) -> Decision:
        """On to the next stage, unless the variant breaks."""
        broken = broken_class(evidence.at(stage)[0])
        if broken is not None:
            return Prune(reason=f"broken: {broken}")
        if stage == evidence.stages[-1]:
            return Hold(reason="through its last stage")
        return Promote(reason="every config runs every stage")

    def verdict(self, evidence: TaskEvidence) -> Verdict:
        """None that claims an effect."""
        broken = broken_class(evidence.variant)
        if broken is not None:
            return Verdict(name="LOSER", reason=f"broken: {broken}")
        policy = type(self).__module__.rpartition(".")[2]
        return Verdict(name="INCONCLUSIVE", reason=f"measured, not judged: the policy is {policy}")
