"""From model text to a `Patch`, or a `Refusal` that helps the next try. Start at `apply.build_patch`."""
