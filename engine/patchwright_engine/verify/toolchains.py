"""Toolchains of other languages: which tool runs a project's tests, and what of it the sandbox must show.

The tool is chosen by the project's manifest, its command is always ours: a script that package.json, a Makefile or a
wrapper (mvnw, gradlew) names belongs to the repository and runs only when the user gives it with `--test`.
"""

import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from patchwright_engine.errors import EnvironmentProblem
from patchwright_engine.room import saying_no_room
from patchwright_engine.sandbox.policy import objection_to_showing
from patchwright_engine.types import RepoPath
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.environments.prefix import is_system
from patchwright_engine.workspace.repository import is_tracked

_MANIFESTS = {
    "javascript": ("package.json",),
    "go": ("go.mod",),
    "rust": ("Cargo.toml",),
    "java": ("pom.xml", "build.gradle", "build.gradle.kts"),
}
_PYTHON_MANIFESTS = ("pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "manage.py", "requirements.txt")
_JAVASCRIPT_TOOLS = {
    "vitest": "vitest/vitest.mjs",
    "jest": "jest/bin/jest.js",
    "mocha": "mocha/bin/mocha.js",
    "ava": "ava/entrypoints/cli.mjs",
}
"""Name in package.json → the tool's own file below node_modules."""
_FAMILY = {
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"), "javascript"),
    ".go": "go",
    ".rs": "rust",
    **dict.fromkeys((".java", ".kt", ".groovy", ".scala"), "java"),
    ".py": "python",
    ".pyi": "python",
}


def language_of_tests(root: Path, paths: tuple[RepoPath, ...]) -> str:
    """Which language's tests judge a change of `paths`: that of most of them, where its manifest is in the root.

    Where they tell nothing, the manifest in the root does; 'python' when there is none.
    """
    families = [_FAMILY.get(Path(path).suffix, "") for path in paths]
    for family in sorted(set(families) - {""}, key=families.count, reverse=True):
        if family == "python" or _has_manifest(root, family):
            return family
    if any((root / name).is_file() for name in _PYTHON_MANIFESTS):
        return "python"
    return next((family for family in _MANIFESTS if not any(families) and _has_manifest(root, family)), "python")


def _has_manifest(root: Path, language: str) -> bool:
    return any((root / name).is_file() for name in _MANIFESTS[language])


def find_toolchain(root: Path, language: str) -> TestEnvironment:
    """How tests of `language` are run in `root`.

    Raises:
        EnvironmentProblem: the tool is not installed, or the project's packages are not.
    """
    finders: Mapping[str, Callable[[Path], TestEnvironment]] = {
        "javascript": _javascript,
        "go": _go,
        "rust": _rust,
        "java": _java,
    }
    return finders[language](root.absolute())


def show_packages(environment: TestEnvironment, workspace: Path) -> None:
    """Link installed packages into the copy, where the runner looks for them; the copy's own packages come first.

    A package that is a link into the project itself (a workspace of several packages) leads to the copy of it.

    Raises:
        EnvironmentProblem: the disk is full.
    """
    for name, source in environment.links:
        target = workspace / name
        if target.is_symlink() or target.exists() or not source.is_dir():
            continue
        with saying_no_room(workspace, f"cannot link the packages of {name} into the throw-away copy"):
            target.mkdir(parents=True)
            _link_entries(source, target, source.parent, workspace)


def _link_entries(source: Path, target: Path, root: Path, workspace: Path) -> None:
    for entry in sorted(source.iterdir()):
        if entry.name.startswith("@") and entry.is_dir() and not entry.is_symlink():
            (target / entry.name).mkdir()
            _link_entries(entry, target / entry.name, root, workspace)
            continue
        real = entry.resolve()
        inside = real.is_relative_to(root) and not real.is_relative_to(root / "node_modules")
        (target / entry.name).symlink_to(workspace / real.relative_to(root) if inside else entry)


def _javascript(root: Path) -> TestEnvironment:
    program = _program("node", "Install Node.js 20 or newer.")
    packages = root / "node_modules"
    asked = _dependencies(root / "package.json")
    runner = next((name for name in _JAVASCRIPT_TOOLS if name in asked), "node")
    notes: list[str] = []
    entry = _JAVASCRIPT_TOOLS.get(runner)
    if entry is not None and not (packages / entry).is_file():
        raise EnvironmentProblem(
            f"{runner} runs this project's tests, and it is not installed in {packages}",
            "Install the project's packages, e.g. `npm ci`.",
        )
    if runner == "node":
        reason = "package.json asks for no test runner, so `node --test` runs the tests"
        other = next((name for name in ("jasmine", "tap", "tape", "karma", "qunit") if name in asked), None)
        if other:
            notes.append(f"{other} is not known here: `node --test` runs the tests. Give its command with --test.")
    else:
        reason = f"package.json asks for {runner}"
    tracked = is_tracked(root, RepoPath("node_modules"))
    why = _objection_to_packages(packages)
    if why:
        notes.append(f"{packages} is not shown to the tests: {why}.")
    links = () if tracked or why or not packages.is_dir() else (("node_modules", packages),)
    shown = tuple(source for _, source in links)
    return _environment(runner, "javascript", program, reason, tuple(notes), links=links, readable=shown)


def _objection_to_packages(packages: Path) -> str:
    """Why a folder of packages is not what it seems; '' when it is. A repository may bring along a link to anywhere."""
    if packages.is_symlink() and packages.resolve().name != packages.name:
        return f"it is a link to {packages.resolve()}, which is no folder of packages"
    return objection_to_showing(packages) or ""


def _go(_root: Path) -> TestEnvironment:
    program = _program("go", "Install Go: `apt install golang-go`, or from go.dev.", "/usr/local/go/bin", "~/go/bin")
    gopath = Path((os.environ.get("GOPATH") or "~/go").split(os.pathsep)[0]).expanduser()
    modules = Path(os.environ.get("GOMODCACHE") or gopath / "pkg" / "mod").expanduser()
    variables = {
        "GOMODCACHE": str(modules),
        "GOPROXY": "off",
        "GOSUMDB": "off",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-modcacherw=false",
        "GOTELEMETRY": "off",
    }
    readable = (*_home_of(program, "VERSION"), modules)
    return _environment(
        "go",
        "go",
        program,
        "go.mod is in the root, so `go test` runs the tests",
        (),
        variables=variables,
        readable=readable,
    )


def _rust(_root: Path) -> TestEnvironment:
    home = Path(os.environ.get("CARGO_HOME") or "~/.cargo").expanduser()
    program = _program("cargo", "Install Rust: `apt install cargo`, or rustup.", str(home / "bin"))
    readable: tuple[Path, ...] = (home / "registry", home / "git")
    if (program.parent / "rustup").exists():  # A shim that needs the home folder: take the toolchain it stands for.
        toolchain = _rustup_toolchain()
        if toolchain is None:
            raise EnvironmentProblem(
                "cargo is rustup's, and rustup has no default toolchain", "Run `rustup default stable`."
            )
        program = toolchain / "bin" / "cargo"
        readable = (*readable, toolchain)
    variables = {"CARGO_HOME": str(home), "CARGO_NET_OFFLINE": "true", "CARGO_TERM_COLOR": "never"}
    reason = "Cargo.toml is in the root, so `cargo test` runs the tests"
    return _environment("cargo", "rust", program, reason, (), variables=variables, readable=readable)


def _java(root: Path) -> TestEnvironment:
    runtime = _program("java", "Install a JDK, e.g. `apt install default-jdk`.")
    given = Path(os.environ.get("JAVA_HOME") or "/nonexistent")
    home = given if (given / "bin" / "java").is_file() else runtime.resolve().parent.parent
    variables = {"JAVA_HOME": str(home)}
    jdk = (*_home_of(home / "bin" / "java", "release"), *Path("/etc").glob("java-*-openjdk"))
    if (root / "pom.xml").is_file():
        program = _program("mvn", "Install Maven, e.g. `apt install maven`.")
        repository = _maven_repository()
        readable = (*jdk, *_home_of(program, "boot"), Path("/etc/maven"), repository)
        reason = "pom.xml is in the root, so Maven runs the tests, offline"
        return _environment(
            "maven", "java", program, reason, (), variables=variables, readable=readable, packages=repository
        )
    program = _program("gradle", "Install Gradle: the project's own wrapper is not run for you.")
    caches = Path(os.environ.get("GRADLE_USER_HOME") or "~/.gradle").expanduser() / "caches"
    # Gradle reads this one besides its own, which must be writable.
    variables["GRADLE_RO_DEP_CACHE"] = str(caches)
    readable = (*jdk, *_home_of(program, "lib/plugins"), caches / "modules-2")
    reason = "build.gradle is in the root, so Gradle runs the tests, offline"
    return _environment("gradle", "java", program, reason, (), variables=variables, readable=readable)


def _environment(
    runner: str,
    language: str,
    program: Path,
    reason: str,
    notes: tuple[str, ...],
    *,
    variables: Mapping[str, str] | None = None,
    readable: tuple[Path, ...] = (),
    links: tuple[tuple[str, Path], ...] = (),
    packages: Path | None = None,
) -> TestEnvironment:
    shown = dict.fromkeys((program.parent, program.resolve().parent, *readable))
    for folder in shown:
        why = objection_to_showing(folder)
        if why is not None:
            raise EnvironmentProblem(
                f"{program.name} cannot run the tests: they could read all of {folder}, and {why}",
                f"Install {program.name}, and keep what it downloads, in a folder of its own.",
            )
    return TestEnvironment(
        python=None,
        runner=runner,
        reason=reason,
        readable=tuple(folder for folder in shown if folder.exists() and not is_system(folder)),
        notes=(*notes, f"The results are {runner}'s own report; code that is written to deceive could forge them."),
        language=language,
        program=program,
        packages=packages,
        links=links,
        extra=tuple((variables or {}).items()),
    )


def _program(name: str, cure: str, *further: str) -> Path:
    path = os.pathsep.join(
        [os.environ.get("PATH", os.defpath), *(str(Path(folder).expanduser()) for folder in further)]
    )
    found = shutil.which(name, path=path)
    if found is None:
        raise EnvironmentProblem(f"{name} is not installed, and the project's tests need it", cure)
    return Path(found).absolute()


def _home_of(program: Path, mark: str) -> tuple[Path, ...]:
    """The folder that a tool is installed in, known by what lies in it: `bin` may as well be that of a whole home."""
    home = program.resolve().parent.parent
    return (home,) if (home / mark).exists() else ()


def _rustup_toolchain() -> Path | None:
    home = Path(os.environ.get("RUSTUP_HOME") or "~/.rustup").expanduser()
    try:
        settings = tomllib.loads((home / "settings.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    name = settings.get("default_toolchain")
    folder = home / "toolchains" / name if isinstance(name, str) else None
    return folder if folder is not None and (folder / "bin" / "cargo").is_file() else None


def _maven_repository() -> Path:
    """The user's `localRepository`, else ~/.m2/repository."""
    try:
        settings = Path("~/.m2/settings.xml").expanduser().read_text(encoding="utf-8", errors="replace")
    except OSError:
        settings = ""
    match = re.search(r"<localRepository>\s*([^<$]+?)\s*</localRepository>", settings)
    return Path(match[1] if match else "~/.m2/repository").expanduser()


def _dependencies(manifest: Path) -> frozenset[str]:
    """Names that package.json depends on, for development too."""
    try:
        document = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return frozenset()
    tables = [document.get(key) for key in ("dependencies", "devDependencies")] if isinstance(document, dict) else []
    return frozenset(str(name) for table in tables if isinstance(table, dict) for name in table)
