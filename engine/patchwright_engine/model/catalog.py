"""The models Patchwright knows, and the one answer to "which model runs now?".

`catalog.toml` beside this file holds the built-in entries; `models.toml` in the user's config folder adds to them and
wins on equal names. Nothing here opens a socket, and nothing is ever read from a repository (DESIGN §6).
"""

import fnmatch
import importlib.resources
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from patchwright_engine.config import ROLES, Settings, folders
from patchwright_engine.errors import BadInput, ModelUnavailable
from patchwright_engine.model.entry import Entry, HubSource, PartsSource, parse_entries
from patchwright_engine.model.gguf import read_gguf
from patchwright_engine.model.parameters import AdapterFile
from patchwright_engine.model.plan import Weighted, plan_memory
from patchwright_engine.model.probe import Hardware, usable_hardware

__all__ = [
    "Catalog",
    "Entry",
    "HubSource",
    "PartsSource",
    "ResolvedModel",
    "default_entry",
    "load_catalog",
    "resolve_model",
    "weighted",
]

_COMFORTABLE_CONTEXT = 8192


@dataclass(frozen=True, slots=True)
class Catalog:
    """All known models, smallest first."""

    entries: tuple[Entry, ...]

    def get(self, name: str) -> Entry:
        """The entry of that name, file name, or unique short name ('1.5b', 'qwen2.5-coder-7b-instruct').

        Raises:
            BadInput: no entry, or more than one, goes by that name; the message lists the known ones.
        """
        wanted = name.strip().lower()
        for entry in self.entries:
            if wanted in (entry.name.lower(), entry.file.lower(), entry.file.lower().removesuffix(".gguf")):
                return entry
        matches = [entry for entry in self.entries if wanted and _is_part_of(wanted, entry)]
        if len(matches) == 1:
            return matches[0]
        known = f"Known models: {', '.join(entry.name for entry in self.entries)}."
        if matches:
            raise BadInput(f"'{name}' could be {' or '.join(entry.name for entry in matches)}.", known)
        raise BadInput(
            f"no model is called '{name}'.", f"{known} A GGUF file of your own is given by its path, ending in .gguf."
        )


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that can be loaded (`kind` 'gguf', with `path`) or reached (`kind` 'url', with `url`)."""

    kind: Literal["gguf", "url"]
    name: str
    path: Path | None = None
    url: str | None = None
    entry: Entry | None = None
    adapters: tuple[AdapterFile, ...] = ()
    """LoRA adapters to load beside it: `settings.adapters`, else files beside the model (`MODEL.ROLE.gguf`)."""


def load_catalog(user_file: Path | None = None) -> Catalog:
    """The built-in entries and the user's, smallest first.

    Raises:
        BadInput: the user's `models.toml` cannot be read or an entry in it is wrong.
    """
    built_in = importlib.resources.files(__package__).joinpath("catalog.toml").read_text(encoding="utf-8")
    entries = parse_entries(built_in, "catalog.toml")
    path = user_file or folders().config / "models.toml"
    try:
        entries |= parse_entries(path.read_text(encoding="utf-8"), str(path))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path}: {error}", "Mend or delete the file.") from error
    return Catalog(tuple(sorted(entries.values(), key=lambda entry: (entry.parameters, entry.name))))


def resolve_model(spec: str | None, settings: Settings) -> ResolvedModel:
    """What to load for `--model SPEC`: a catalog name, a GGUF path, a URL, or None for the user's default.

    None means `settings.model`, then the probe's default for this machine if it is installed, then the largest
    installed model that suits the machine.

    Raises:
        BadInput: the name is not in the catalog.
        ModelUnavailable: the model is not installed, or its file is missing, cut or no GGUF.
    """
    resolved = _resolve(spec or settings.model)
    if resolved.path is None:
        return resolved
    return replace(resolved, adapters=find_adapters(resolved.path, settings))


def find_adapters(model: Path, settings: Settings) -> tuple[AdapterFile, ...]:
    """The adapters for `model`: what the settings name for a role, else the file `MODEL.ROLE.gguf` beside it."""
    found = {role: model.with_name(f"{model.stem}.{role}.gguf") for role in ROLES}
    files = {role: path for role, path in found.items() if path.is_file()} | dict(settings.adapters)
    return tuple(AdapterFile(role, files[role]) for role in ROLES if role in files)


def _resolve(spec: str | None) -> ResolvedModel:
    if spec is None:
        return _resolve_default(load_catalog(), usable_hardware())
    if re.match(r"https?://", spec):
        return ResolvedModel("url", spec, url=spec)
    if spec.lower().endswith(".gguf") or os.sep in spec or Path(spec).is_file():
        path = Path(spec).expanduser().absolute()
        return ResolvedModel("gguf", read_gguf(path).path.stem, path=path)
    return _resolve_entry(load_catalog().get(spec))


def default_entry(catalog: Catalog, hardware: Hardware) -> Entry:
    """The model this machine should run: the largest that is quick enough on it.

    With a GPU: the largest that fits it whole with at least 8,192 tokens. Without: bounded by cores as well as memory,
    because decoding on a CPU reads every weight for every step. What else runs now does not change the answer.
    """
    suited = [entry for entry in catalog.entries if _suits(entry, hardware)]
    return suited[-1] if suited else catalog.entries[0]


def weighted(entry: Entry) -> Weighted | None:
    """What `plan_memory` takes for this entry: the entry itself, else its installed file, else None."""
    if entry.size and entry.shape:
        return entry
    try:
        return read_gguf(entry.installed_path)
    except ModelUnavailable:
        return None


def _resolve_default(catalog: Catalog, hardware: Hardware) -> ResolvedModel:
    choice = default_entry(catalog, hardware)
    installed = [entry for entry in catalog.entries if entry.installed]
    if choice not in installed:
        suited = [entry for entry in installed if _suits(entry, hardware)]
        fitting = [
            entry for entry in installed if (model := weighted(entry)) and plan_memory(model, hardware.idle()).fits
        ]
        if not (suited or fitting):
            raise ModelUnavailable(
                f"no model is installed; {choice.name} suits this machine.",
                f"Run `patchwright models pull {choice.name}`, or give `--model PATH.gguf` or `--model URL`.",
            )
        # Nothing suits: the smallest that fits at all is the least slow one.
        choice = suited[-1] if suited else fitting[0]
    return _resolve_entry(choice)


def _resolve_entry(entry: Entry) -> ResolvedModel:
    path = entry.installed_path
    if not path.exists():
        cure = f"Run `patchwright models pull {entry.name}`."
        if entry.path:
            cure = f"Mend 'path' of {entry.name} in {folders().config / 'models.toml'}."
        raise ModelUnavailable(f"the model {entry.name} is not installed ({path} is missing).", cure)
    size = path.stat().st_size
    if entry.size and size != entry.size:
        raise ModelUnavailable(
            f"{path} holds {size:,} bytes; {entry.name} has {entry.size:,}.",
            f"Run `patchwright models pull {entry.name}`: it replaces the broken file.",
        )
    read_gguf(path)
    return ResolvedModel("gguf", entry.name, path=path, entry=entry)


def _suits(entry: Entry, hardware: Hardware) -> bool:
    model = weighted(entry)
    if model is None or model.shape is None or "reasoner" not in entry.roles:
        return False
    plan = plan_memory(model, hardware.idle())
    if not plan.fits:
        return False
    if hardware.gpus and plan.n_gpu_layers > model.shape.layers:
        return plan.n_ctx >= _COMFORTABLE_CONTEXT
    return entry.cpu_cores is not None and hardware.cores >= entry.cpu_cores


def _is_part_of(wanted: str, entry: Entry) -> bool:
    """Whether `wanted` is a run of whole dash-separated words of the name or file ('5b' is no part of '1.5b')."""
    names = (entry.name.lower(), entry.file.lower().removesuffix(".gguf"))
    return any(fnmatch.fnmatchcase(f"-{name}-", f"*-{_literal(wanted)}-*") for name in names)


def _literal(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)
