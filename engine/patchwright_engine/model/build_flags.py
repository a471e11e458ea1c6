"""Chooses CMake flags with which llama-cpp-python builds and runs on this machine. Standard library only.

    CMAKE_ARGS="$(python engine/patchwright_engine/model/build_flags.py --cmake-args)" pip install llama-cpp-python

Why: by default llama.cpp compiles for "native". In some virtual machines the processor then has AMX, for which gcc 12
compiles ggml's tile set-up wrongly (the tile configuration is dropped), and the first decode dies with an illegal
instruction. Invariant: GGML_NATIVE is off, every instruction set that is on was reported by all of this machine's
cores, and AMX is never among them. The user's own CMAKE_ARGS come last, so they win.

Option names: ggml/CMakeLists.txt as vendored in llama-cpp-python 0.3.36.
"""

import argparse
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

VERSION = "0.3.36"

_X86 = ("x86_64", "amd64", "i686", "i386")
_ARM = ("aarch64", "arm64")
# Processor feature as Linux names it -> CMake option. On without being asked when GGML_NATIVE is off, so each is said.
_X86_BASE = {
    "sse4_2": "GGML_SSE42",
    "avx": "GGML_AVX",
    "avx2": "GGML_AVX2",
    "fma": "GGML_FMA",
    "f16c": "GGML_F16C",
    "bmi2": "GGML_BMI2",
}
# GGML_AVX512 compiles for all five.
_AVX512 = ("avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw")
_AVX512_MORE = {
    "avx512vbmi": ("GGML_AVX512_VBMI", "-mavx512vbmi"),
    "avx512_vnni": ("GGML_AVX512_VNNI", "-mavx512vnni"),
    "avx512_bf16": ("GGML_AVX512_BF16", "-mavx512bf16"),
}
_AMX = ("GGML_AMX_TILE", "GGML_AMX_INT8", "GGML_AMX_BF16")
_COMPILER_SECONDS = 10


@dataclass(frozen=True)
class Machine:
    """What the flags depend on."""

    system: str
    """As `platform.system()`: 'Linux', 'Darwin', 'Windows'."""
    processor: str
    """As `platform.machine()`: 'x86_64', 'aarch64', 'arm64', 'AMD64', ..."""
    features: frozenset[str]
    """Instruction sets that every core has, in Linux's names."""


def this_machine() -> Machine:
    """Look at the processor. What cannot be found out counts as absent."""
    system, processor = platform.system(), platform.machine()
    if system == "Linux":
        return Machine(system, processor, features_of_cpuinfo(_read(Path("/proc/cpuinfo"))))
    if system == "Darwin":
        return Machine(system, processor, _macos_features(processor))
    return Machine(system, processor, _windows_features())


def features_of_cpuinfo(text: str) -> frozenset[str]:
    """Features that all cores of a /proc/cpuinfo share ('flags' on x86, 'Features' on arm)."""
    cores = re.findall(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    sets = [frozenset(core.split()) for core in cores]
    return frozenset.intersection(*sets) if sets else frozenset()


def flags(machine: Machine, accepted: Iterable[str] | None = None) -> list[str]:
    """The CMake flags for a machine.

    Args:
        machine: what `this_machine` found.
        accepted: compiler flags known to work, for tests; None: the compiler here is asked.
    """
    processor = machine.processor.lower()
    if processor in _X86:
        return _x86_flags(machine.features, None if accepted is None else frozenset(accepted))
    if processor in _ARM:
        return _arm_flags(machine)
    return ["-DGGML_NATIVE=OFF"]


def cmake_args(environment: Mapping[str, str] = os.environ) -> str:
    """The whole value for CMAKE_ARGS here: ours, then what the user already set there (CUDA, ROCm, ...)."""
    return " ".join([*flags(this_machine()), environment.get("CMAKE_ARGS", "").strip()]).strip()


def install_command(environment: Mapping[str, str] = os.environ) -> str:
    """A shell line that builds llama-cpp-python anew with these flags and replaces the installed one."""
    argv = [sys.executable, "-P", "-m", "pip", "install", "--force-reinstall", "--no-deps", "--no-cache-dir"]
    argv += ["--no-binary", "llama-cpp-python", f"llama-cpp-python=={VERSION}"]
    return f"CMAKE_ARGS={shlex.quote(cmake_args(environment))} {shlex.join(argv)}"


def wheel_key(environment: Mapping[str, str] = os.environ) -> str:
    """A short name for a built wheel: equal keys may share one. pip's own cache ignores CMAKE_ARGS, so it may not."""
    flavour = hashlib.sha256(cmake_args(environment).encode()).hexdigest()[:10]
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    where = re.sub(r"[^A-Za-z0-9]+", "_", sysconfig.get_platform())
    return f"{VERSION}-{tag}-{where}-{flavour}"


def _x86_flags(features: frozenset[str], accepted: frozenset[str] | None) -> list[str]:
    found = ["-DGGML_NATIVE=OFF"]
    # AVX2 kernels assume FMA and F16C, so a processor (or a virtual one) that hides one of them gets none above AVX.
    modern = {"avx", "avx2", "fma", "f16c", "bmi2"} <= features
    for feature, option in _X86_BASE.items():
        wanted = feature in features and (modern or feature in ("sse4_2", "avx"))
        found.append(f"-D{option}={'ON' if wanted else 'OFF'}")
    wide = modern and features.issuperset(_AVX512)
    found.append(f"-DGGML_AVX512={'ON' if wide else 'OFF'}")
    for feature, (option, flag) in _AVX512_MORE.items():
        wanted = wide and feature in features and _compiler_takes(flag, accepted)
        found.append(f"-D{option}={'ON' if wanted else 'OFF'}")
    narrow_vnni = modern and not wide and "avx_vnni" in features and _compiler_takes("-mavxvnni", accepted)
    found.append(f"-DGGML_AVX_VNNI={'ON' if narrow_vnni else 'OFF'}")
    return [*found, *(f"-D{option}=OFF" for option in _AMX)]


def _arm_flags(machine: Machine) -> list[str]:
    found = ["-DGGML_NATIVE=OFF"]
    if machine.system == "Windows":
        # cl.exe for arm builds only with native on (ggml refuses otherwise); it never emits what it did not probe.
        return ["-DGGML_NATIVE=ON"]
    if machine.system == "Darwin":
        found.append("-DGGML_METAL=ON")
    # SVE and SME stay off: their width or presence can differ between a virtual machine and what it reports.
    if "asimddp" in machine.features:
        extensions = [("fphp", "+fp16"), ("asimddp", "+dotprod"), ("i8mm", "+i8mm")]
        arch = "armv8.2-a" + "".join(name for feature, name in extensions if feature in machine.features)
        found.append(f"-DGGML_CPU_ARM_ARCH={arch}")
    return found


def _compiler_takes(flag: str, accepted: frozenset[str] | None) -> bool:
    """Whether the C compiler knows a newer flag. Without one to ask, the build will look for its own: yes."""
    if accepted is not None:
        return flag in accepted
    compiler = shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or shutil.which("gcc") or ""]
    if not compiler[0]:
        return True
    argv = [*compiler, flag, "-E", "-x", "c", os.devnull]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_COMPILER_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return True
    return done.returncode == 0


def _macos_features(processor: str) -> frozenset[str]:
    if processor == "arm64":
        # Every Apple silicon has these; i8mm came with the M2.
        i8mm = _sysctl("hw.optional.arm.FEAT_I8MM") == "1"
        return frozenset({"asimddp", "fphp"} | ({"i8mm"} if i8mm else set()))
    names = f"{_sysctl('machdep.cpu.features')} {_sysctl('machdep.cpu.leaf7_features')}".lower().split()
    renamed = {"sse4.2": "sse4_2", "avx1.0": "avx", "avx512_vbmi": "avx512vbmi"}
    return frozenset(renamed.get(name, name) for name in names)


def _windows_features() -> frozenset[str]:
    """IsProcessorFeaturePresent knows AVX2 (40); FMA, F16C and BMI2 came with it on every processor made."""
    try:
        import ctypes

        present = ctypes.windll.kernel32.IsProcessorFeaturePresent  # type: ignore[attr-defined, unused-ignore]
    except (ImportError, AttributeError):
        return frozenset()
    return frozenset(_X86_BASE) if present(40) else frozenset({"sse4_2"} if present(38) else ())


def _sysctl(name: str) -> str:
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def main() -> int:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description="Flags for building llama-cpp-python on this machine.")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--cmake-args", action="store_true", help="the value for CMAKE_ARGS")
    choice.add_argument("--wheel-key", action="store_true", help="a cache key for the built wheel")
    choice.add_argument("--requirement", action="store_true", help="what to install, e.g. llama-cpp-python==X")
    choice.add_argument("--install-command", action="store_true", help="a shell line that rebuilds and reinstalls")
    asked = parser.parse_args()
    if asked.cmake_args:
        answer = cmake_args()
    elif asked.wheel_key:
        answer = wheel_key()
    else:
        answer = install_command() if asked.install_command else f"llama-cpp-python=={VERSION}"
    sys.stdout.write(answer + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
