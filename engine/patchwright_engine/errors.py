"""Every exception the engine raises on purpose, in one tree.

    PatchwrightError
    ├── BadInput            the user gave something that cannot be worked on      (CLI exit 2)
    ├── EnvironmentProblem  this machine or set-up cannot do it                   (CLI exit 3)
    │   ├── ModelUnavailable      no model, a broken model file, a host that will not start
    │   ├── PullFailed            a download that cannot be trusted or stored
    │   └── SandboxUnavailable    nothing here can isolate generated code
    ├── ModelHostLost       the model host died during a request; may be retried  (CLI exit 3)
    ├── StaleSnapshot       the user's files changed under a running job
    └── Cancelled           the user, a deadline or a shutdown ended the job

Expected failures of single steps (a refused edit, a failed test run, no location found) are values,
never exceptions. Every message says what is wrong; `cure` says what to do about it.
"""


class PatchwrightError(Exception):
    """Base of the tree. `cure` is one or more full sentences for the user, possibly empty."""

    exit_code = 1

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}\n{self.cure}" if self.cure else self.message


class BadInput(PatchwrightError):
    """The issue, path, option or configuration given by the user cannot be worked on."""

    exit_code = 2


class EnvironmentProblem(PatchwrightError):
    """The machine or set-up lacks something; `cure` names the way out."""

    exit_code = 3


class ModelUnavailable(EnvironmentProblem):
    """No model is installed, its file is broken, or the model host cannot start."""


class PullFailed(EnvironmentProblem):
    """A model download could not be completed, verified or stored."""


class SandboxUnavailable(EnvironmentProblem):
    """No isolation is available here, so nothing generated may run."""


class ModelHostLost(PatchwrightError):
    """The model host died or hung up while a request was under way; the request may be sent again."""

    exit_code = 3


class StaleSnapshot(PatchwrightError):
    """A file of the workspace no longer holds what the job's snapshot saw."""


class Cancelled(PatchwrightError):
    """The job was cancelled. `reason` is 'user', 'deadline' or 'shutdown'."""

    exit_code = 130

    def __init__(self, reason: str = "user") -> None:
        super().__init__(f"cancelled ({reason})")
        self.reason = reason
