"""Patchwright's engine: an issue in, verified patches out. Knows neither LSP nor any training library."""

from typing import TYPE_CHECKING

__all__ = ["__version__"]

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """The version, looked up when it is asked for: most processes of ours start without asking."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("patchwright")
        except PackageNotFoundError:  # running from a source tree that was never installed
            return "0+source"
