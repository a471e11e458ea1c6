"""Poetry's tables of dependencies, and Pipfile's, which look the same, as PEP 508 lines.

Entries that name a repository, a path or an address, and optional ones, are left out.
"""

import re
from collections.abc import Iterator
from typing import Any


def poetry_lines(table: dict[str, Any]) -> Iterator[str | None]:
    """Entries of a poetry table or a Pipfile as PEP 508 lines; None for one that names an address or path."""
    for name, value in table.items():
        if name == "python":
            continue
        entries = value if isinstance(value, list) else [value]
        for entry in entries:
            version = entry if isinstance(entry, str) else None
            extras: list[str] = []
            marker = ""
            if isinstance(entry, dict):
                if any(key in entry for key in ("git", "path", "url", "file", "hg")) or entry.get("optional") is True:
                    continue
                version = _text(entry.get("version"))
                listed = entry.get("extras")
                extras = [extra for extra in listed if isinstance(extra, str)] if isinstance(listed, list) else []
                marker = _text(entry.get("markers"))
                python = poetry_bounds(_text(entry.get("python")))
                conditions = [f"python_version {bound}" for bound in _quoted(python)]
                marker = " and ".join([*([f"({marker})"] if marker else []), *conditions])
            if version is None:
                continue
            chosen = f"[{','.join(extras)}]" if extras else ""
            yield f"{name}{chosen}{poetry_bounds(version)}" + (f" ; {marker}" if marker else "")


def _quoted(bounds: str) -> list[str]:
    parts = [re.fullmatch(r"\s*([<>=!~]=?)\s*([\w.*]+)\s*", part) for part in bounds.split(",") if part.strip()]
    return [f'{part[1]} "{part[2]}"' for part in parts if part is not None]


def poetry_bounds(version: str) -> str:
    """Poetry's `^1.2` and `~1.2` as bounds of PEP 440; alternatives (`||`) are too much to say in one and give ''."""
    if "||" in version or "|" in version or version.strip() in {"", "*"}:
        return ""
    bounds: list[str] = []
    for part in re.split(r"\s*,\s*|\s+(?=[<>=!^~])", version.strip()):
        match = re.fullmatch(r"(\^|~(?!=))\s*v?(\d+(?:\.\d+)*)\S*", part)
        if match is None:
            bounds.append(f"=={part}" if part[:1].isdigit() else part.replace(" ", ""))
            continue
        numbers = [int(number) for number in match[2].split(".")]
        if match[1] == "~":
            keep = 0 if len(numbers) == 1 else 1
        else:
            keep = next((i for i, number in enumerate(numbers) if number), len(numbers) - 1)
        above = [*numbers[:keep], numbers[keep] + 1]
        bounds += [f">={match[2]}", f"<{'.'.join(map(str, above))}"]
    return ",".join(bounds)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
