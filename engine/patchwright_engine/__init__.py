"""Patchwright's engine: an issue in, verified patches out. Knows neither LSP nor any training library."""

from importlib.metadata import PackageNotFoundError, version


def _installed_version() -> str:
    try:
        return version("patchwright")
    except PackageNotFoundError:  # running from a source tree that was never installed
        return "0+source"


__version__ = _installed_version()
__all__ = ["__version__"]
