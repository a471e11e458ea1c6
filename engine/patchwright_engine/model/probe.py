"""What this machine has: cores, memory and graphics cards, as far as this process may use them.

Invariant: probing never fails. What cannot be found out is left out; every outside command has a time limit.
"""

import importlib.util
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

_COMMAND_SECONDS = 5.0
_MIB = 1 << 20
_GPU_LIBRARY = re.compile(r"ggml-(cuda|hip|metal|vulkan|sycl|musa)\b")
_METAL_SMALL = 36 << 30
# Processors with graphics report a sliver of memory as a card's own; no layer is worth the way to that.
_LEAST_VRAM = 2 << 30


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card. Memory in bytes; `backend` is 'cuda', 'rocm' or 'metal'."""

    name: str
    memory_total: int
    memory_free: int
    backend: str


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a model may use here. Memory in bytes, after container limits."""

    cores: int
    """Processors this process may run on, after affinity and container quota."""
    threads: int
    """How many threads decoding should use."""
    memory_total: int
    memory_available: int
    gpus: tuple[Gpu, ...] = ()
    unified: bool = False
    """The GPU shares main memory (Apple silicon)."""

    def without_gpus(self) -> "Hardware":
        """The same machine for a llama.cpp that was built for the CPU alone."""
        return replace(self, gpus=(), unified=False)

    def without(self, size: int) -> "Hardware":
        """The same machine with `size` bytes taken, on the first card where there is one."""
        if not self.gpus:
            return replace(self, memory_available=max(0, self.memory_available - size))
        first = replace(self.gpus[0], memory_free=max(0, self.gpus[0].memory_free - size))
        return replace(self, gpus=(first, *self.gpus[1:]))

    def idle(self) -> "Hardware":
        """The same machine with nothing else running: for choices that must not change with the load."""
        gpus = tuple(replace(gpu, memory_free=gpu.memory_total) for gpu in self.gpus)
        return replace(self, memory_available=self.memory_total, gpus=gpus)


def probe_hardware() -> Hardware:
    """Look at this machine. Takes up to a few seconds where a vendor's tool is slow, usually some milliseconds."""
    hardware = probe_without_cards()
    gpus = (*_nvidia(os.environ), *_rocm(os.environ)) or _apple(hardware.memory_total)
    return replace(hardware, gpus=gpus, unified=any(gpu.backend == "metal" for gpu in gpus))


def probe_without_cards() -> Hardware:
    """As `probe_hardware`, but no card is looked for, so that no program is started."""
    memory = psutil.virtual_memory()
    limit = cgroup_limits()
    total, available = memory.total, memory.available
    if limit.memory is not None and limit.memory < total:
        total = limit.memory
        available = max(0, min(available, limit.memory - limit.memory_used))
    cores = _allowed_cores()
    if limit.cpus is not None:
        cores = max(1, min(cores, int(limit.cpus)))
    return Hardware(
        cores=cores,
        threads=_threads(cores, psutil.cpu_count(logical=False)),
        memory_total=total,
        memory_available=available,
    )


def usable_hardware() -> Hardware:
    """This machine as the installed llama.cpp can use it: without its cards when it was built for the CPU alone."""
    hardware = probe_hardware()
    return hardware if library_offloads() is not False else hardware.without_gpus()


def library_offloads(package: str = "llama_cpp") -> bool | None:
    """Whether the installed llama.cpp was built for a GPU, told by its files; None: none is installed, or they are
    not laid out as we know.

    Loading the library would tell as well, but takes long, and the model host alone does that.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    folders = [Path(place) / "lib" for place in found.submodule_search_locations]
    names = [file.name for folder in folders if folder.is_dir() for file in folder.iterdir()]
    if not any("ggml-" in name for name in names):
        return None
    return any(_GPU_LIBRARY.search(name) for name in names)


def _allowed_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _threads(cores: int, physical: int | None) -> int:
    """Decoding is bound by memory: a second thread on one core only adds waiting. Tiny machines take all they have."""
    return cores if cores <= 4 or not physical else max(1, min(cores, physical))


@dataclass(frozen=True, slots=True)
class CgroupLimits:
    """A container's limits; None where there is none."""

    memory: int | None = None
    memory_used: int = 0
    cpus: float | None = None


def cgroup_limits(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> CgroupLimits:
    """The tightest memory and CPU limits on the way from this process's control group to the root (v2, then v1)."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return CgroupLimits()
    group = next((line[3:] for line in lines if line.startswith("0::")), "/").lstrip("/")
    memory: int | None = None
    used = 0
    cpus: float | None = None
    folder = root / group
    for place in (folder, *folder.parents):
        limit = _number(place / "memory.max")
        if limit is not None and (memory is None or limit < memory):
            memory, used = limit, (_number(place / "memory.current") or 0) - _reclaimable(place / "memory.stat")
        quota = _read(place / "cpu.max").split()
        if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit():
            cpus = min(cpus or float("inf"), int(quota[0]) / int(quota[1]))
        if place == root:
            break
    if memory is None:
        memory = _number(root / "memory/memory.limit_in_bytes")
        used = _number(root / "memory/memory.usage_in_bytes") or 0
    quota_v1, period_v1 = _number(root / "cpu/cpu.cfs_quota_us"), _number(root / "cpu/cpu.cfs_period_us")
    if cpus is None and quota_v1 and period_v1:
        cpus = quota_v1 / period_v1
    return CgroupLimits(memory, max(0, used), cpus)


def _reclaimable(stat: Path) -> int:
    """Page cache counts as used by the group, but goes when memory is needed (a mapped model is page cache)."""
    found = re.search(r"^inactive_file (\d+)$", _read(stat), re.MULTILINE)
    return int(found[1]) if found else 0


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text.isdigit() else None


def _nvidia(environment: Mapping[str, str]) -> tuple[Gpu, ...]:
    query = ["nvidia-smi", "--query-gpu=index,name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    chosen = None if visible is None else {part.strip() for part in visible.split(",")}
    cards = []
    for line in _output(query).splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 4 or not (fields[2].isdigit() and fields[3].isdigit()):
            continue
        # Names like 'GPU-8f…' or 'MIG-8f…' in the variable cannot be matched by index; then every card counts.
        if (
            chosen is not None
            and fields[0] not in chosen
            and not any(name.startswith(("GPU-", "MIG-")) for name in chosen)
        ):
            continue
        cards.append(Gpu(fields[1], int(fields[2]) * _MIB, int(fields[3]) * _MIB, "cuda"))
    return tuple(cards)


def _rocm(environment: Mapping[str, str]) -> tuple[Gpu, ...]:
    """What rocm-smi tells, or the kernel's amdgpu driver where ROCm's tools are not installed."""
    text = _output(["rocm-smi", "--showmeminfo", "vram", "--showproductname", "--json"])
    cards = _rocm_smi(text) or amdgpu_cards()
    visible = environment.get("HIP_VISIBLE_DEVICES", environment.get("ROCR_VISIBLE_DEVICES"))
    if visible is None or "GPU-" in visible:
        return cards
    chosen = {part.strip() for part in visible.split(",")}
    return tuple(card for index, card in enumerate(cards) if str(index) in chosen)


def _rocm_smi(text: str) -> tuple[Gpu, ...]:
    try:
        document: Mapping[str, Any] = json.loads(text)
        found = [(name, card) for name, card in document.items() if name.startswith("card")]
    except (ValueError, AttributeError):
        return ()
    cards = []
    for name, card in found:
        try:
            total, used = int(card["VRAM Total Memory (B)"]), int(card["VRAM Total Used Memory (B)"])
        except (ValueError, KeyError, TypeError):
            continue
        if total >= _LEAST_VRAM:
            title = str(card.get("Card Series") or card.get("Card series") or card.get("Card SKU") or name)
            cards.append(Gpu(title, total, max(0, total - used), "rocm"))
    return tuple(cards)


def amdgpu_cards(drm: Path = Path("/sys/class/drm")) -> tuple[Gpu, ...]:
    """AMD cards by what Linux's amdgpu driver says of their own memory."""
    cards = []
    # Connectors such as 'card0-DP-1' lie beside the cards.
    for device in sorted(drm.glob("card*/device"), key=lambda place: (len(place.parent.name), place.parent.name)):
        if "-" in device.parent.name:
            continue
        total, used = _number(device / "mem_info_vram_total"), _number(device / "mem_info_vram_used")
        if total is None or used is None or total < _LEAST_VRAM:
            continue
        name = _read(device / "product_name") or f"AMD GPU ({device.parent.name})"
        cards.append(Gpu(name, total, max(0, total - used), "rocm"))
    return tuple(cards)


def _apple(memory_total: int) -> tuple[Gpu, ...]:
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return ()
    name = _output(["sysctl", "-n", "machdep.cpu.brand_string"]).strip() or "Apple silicon"
    share = metal_share(memory_total, _output(["sysctl", "-n", "iogpu.wired_limit_mb"]))
    return (Gpu(name, share, min(share, psutil.virtual_memory().available), "metal"),)


def metal_share(memory_total: int, wired_limit: str) -> int:
    """How much of unified memory Metal lets one process wire: the user's own limit in MiB, or the system's.

    Metal's recommendedMaxWorkingSetSize, as llama.cpp logs it: 10,922 MiB of 16 GiB, 21,845 of 32, 49,152 of 64.
    """
    if (limit := wired_limit.strip()).isdigit() and int(limit):
        return min(memory_total, int(limit) * _MIB)
    return memory_total * 2 // 3 if memory_total <= _METAL_SMALL else memory_total * 3 // 4


def _output(argv: Sequence[str]) -> str:
    """What a vendor's tool prints; '' when it is absent, fails or hangs."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""
