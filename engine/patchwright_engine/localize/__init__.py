"""From an issue to ranked files and symbols without a model, and from those to prompt text within a budget."""

from patchwright_engine.localize.combine import locate

__all__ = ["locate"]
