"""From ordinals to proposals: a batch is reserved at once, and proposed for one by one."""

from collections.abc import Sequence
from dataclasses import replace

from nas.fold import RecordFold
from nas.setup import Setup
from nas.store.ledger import Ledger
from nas.store.owned import Reserved
from nas.strategies import Proposal
from search_spaces import Architecture

# How often a proposal that another driver was faster with is replaced by another one.
_CONFLICTS = 3


class Proposer:
    """Begins the trials of a study.

    The trials of a batch see the same record: what had ended when their ordinals were reserved. Of
    each other they know that they are pending.

    Attributes:
        begun: how many ordinals have been given out, as far as this driver has seen.
        exhausted: whether nothing is left to propose.
    """

    def __init__(self, setup: Setup, ledger: Ledger, fold: RecordFold) -> None:
        self._ledger = ledger
        self._fold = fold
        self._trials = setup.spec.budget.trials
        self._batch = setup.batch
        self.begun = ledger.begun
        self.exhausted = False

    @property
    def ahead(self) -> int | None:
        """How many trials have yet to be proposed, at most; None where there is no bound."""
        if self.exhausted:
            return 0
        return None if self._trials is None else max(0, self._trials - self.begun)

    def fresh(self) -> list[Reserved]:
        """The next batch with its architectures, recorded; empty when there is nothing to start."""
        reserved = self._ledger.reserve(self._batch, self._trials)
        if reserved:
            self.begun = reserved[-1].ordinal + 1
        return self.proposed(reserved)

    def proposed(self, reserved: Sequence[Reserved]) -> list[Reserved]:
        """The same with architectures; those that nothing is left for are given back.

        Args:
            reserved: in the order of what they may see, and then of their ordinals.
        """
        found: list[Reserved] = []
        for one in reserved:
            proposed = self._proposed(one)
            if proposed is None:
                self.exhausted = True
                self.begun = self._ledger.withdraw([r.ordinal for r in reserved[len(found) :]])
                break
            found.append(proposed)
        return found

    def _proposed(self, reserved: Reserved) -> Reserved | None:
        """An ordinal with its architecture, recorded; None when nothing is left to propose.

        Another driver may have proposed the same meanwhile; then the strategy is asked again, and
        knows of it. In the end a repetition is let through rather than asking for ever.
        """
        for conflicts in range(_CONFLICTS + 1):
            pending = self._ledger.architectures(reserved.pending)
            proposal = self._proposal(reserved, pending)
            if proposal is None:
                return None
            architecture = proposal.architecture
            proposed = replace(
                reserved,
                architecture=architecture,
                inherit=proposal.inherit,
                inherit_by=None if proposal.inherit is None else proposal.inherit_by,
                prepared=self._fold.prepared,
            )
            # What repeats a pending one knowingly has nothing else to offer.
            is_news = architecture.key not in {other.key for other in pending}
            unique = is_news and conflicts < _CONFLICTS
            taken = self._ledger.propose(proposed, architecture, proposal.note, unique=unique)
            if taken is None:
                break
            reserved = replace(reserved, pending=(*reserved.pending, taken))
        return proposed

    def _proposal(self, reserved: Reserved, pending: list[Architecture]) -> Proposal | None:
        if reserved.ordinal < len(self._ledger.start):
            return Proposal(reserved.ordinal, self._ledger.start[reserved.ordinal])
        return self._fold.propose(self._ledger, reserved, pending)
