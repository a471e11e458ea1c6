"""Why model text did not become a patch. A value: refused edits are expected, many times a job."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused answer. Nothing of it was applied."""

    kind: str
    """'cut', 'no_edit', 'not_shown', 'elided', 'no_change', 'signature', 'harmful', 'no_match', 'ambiguous',
    'forbidden' or 'syntax'."""
    reason: str
    """One sentence for the trace."""
    hint: str
    """What to tell the model before its next try, in the imperative."""

    @property
    def well_formed(self) -> bool:
        """Whether the answer kept to the edit format, whatever was wrong with its content."""
        return self.kind not in {"cut", "no_edit", "elided", "no_match", "ambiguous", "syntax"}
