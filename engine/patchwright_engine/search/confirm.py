"""The project's other tests over what is about to be called verified: only the best candidates pay for them."""

from dataclasses import dataclass, replace

from patchwright_engine.search.candidates import Candidate, Pool
from patchwright_engine.search.job import Job
from patchwright_engine.search.judging import trace_candidate
from patchwright_engine.verify.background import OtherTests
from patchwright_engine.verify.baseline import seconds_by_file
from patchwright_engine.verify.context import VerificationContext
from patchwright_engine.verify.evidence import verify_patch

LEADERS = 3
"""Verified candidates that are run against the other tests at the end."""


@dataclass(slots=True)
class Confirmation:
    """Runs the other tests over candidates, each once."""

    job: Job
    pool: Pool
    others: OtherTests
    files: int
    """How many the other test files are."""

    def confirm(self, candidate: Candidate) -> bool:
        """Whether it breaks none of the other tests; one that breaks any is rejected."""
        job = self.job
        rest = self._measured()
        if rest is None:
            candidate.confirmed = True
            return True
        files = {name.partition("::")[0] for name in rest.selection}
        job.report("verify", f"running {len(files)} more test files over the best candidate")
        verification = verify_patch(candidate.patch, rest, job.cancel)
        candidate.confirmed = True
        runs = (*candidate.verification.runs, *verification.runs)
        candidate.verification = replace(candidate.verification, runs=runs)
        if verification.evidence is None:
            rejected = replace(candidate.verification, evidence=None, feedback=verification.feedback)
            candidate.verification = rejected
            job.best_evidence = next((c.verification.evidence for c in self.pool.alive()), None)
        trace_candidate(job, candidate)
        return verification.evidence is not None

    def confirm_leaders(self) -> None:
        """The other tests over the best of what will be called verified."""
        for _ in range(LEADERS):
            verified = (c for c in self.pool.alive() if c.verification.evidence and c.verification.evidence.verified)
            unconfirmed = next((c for c in verified if not c.confirmed), None)
            if unconfirmed is None:
                return
            self.confirm(unconfirmed)

    def _measured(self) -> VerificationContext | None:
        """The other tests before any patch, if any can judge; at first they may have to be run, or waited for."""
        job, others = self.job, self.others
        if others.pending:
            how = "waiting for the" if others.in_background else "running the"
            job.report("verify", f"{how} {self.files} other test files as they are before any fix")
        rest = others.measured()
        if rest is not None and rest.baseline is not None:
            job.test_seconds.update(seconds_by_file(rest.baseline.report))
        for note in rest.notes if rest else ():
            job.note(note)
        return rest if rest is not None and rest.baseline is not None else None
