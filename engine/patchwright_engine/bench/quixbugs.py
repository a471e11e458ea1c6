"""QuixBugs (Lin et al. 2017) as instances: 40 small programs with one faulty line each, and their pytest tests.

Each instance is the project with one faulty program among correct ones, as a real project has one bug: the other
programs' tests are its regression tests. Left out is whatever holds the fix or the cases that judge it: the correct
programs, the program's own test and its cases, and the same project in Java, which has both once more.
"""

import subprocess
from pathlib import Path

from patchwright_engine.bench.checkout import find_mirror
from patchwright_engine.bench.instances import Instance
from patchwright_engine.errors import EnvironmentProblem
from patchwright_engine.types import FileEdit, Patch, RepoPath

MIRROR = "jkoppel+QuixBugs"
_LEFT_OUT = ("correct_", "java_", "JavaDeserialization", "build.gradle", "tester.py")
"""The last compares each program with its correct one."""
TEST_SECONDS = 8
"""Several of the faulty programs never end; hence, too, a run ends at its first failure."""


def read_quixbugs(repos: Path, python: str = "3.11") -> tuple[Instance, ...]:
    """One instance a program, from the mirror's newest commit.

    Raises:
        EnvironmentProblem: there is no mirror, or it is not QuixBugs.
    """
    mirror = find_mirror(repos, MIRROR, "HEAD")
    commit = _git(mirror, "rev-parse", "HEAD").strip()
    files = {RepoPath(path) for path in _git(mirror, "ls-tree", "-r", "--name-only", commit).splitlines()}
    correct = {
        RepoPath(path): _git(mirror, "show", f"{commit}:correct_{path}")
        for path in sorted(files)
        if path.startswith("python_programs/") and f"correct_{path}" in files and not path.endswith("_test.py")
    }
    if not correct:
        raise EnvironmentProblem(f"{mirror} is not QuixBugs: it has no correct_python_programs", "Mirror it anew.")
    hidden: dict[RepoPath, str | None] = {
        path: None
        for path in files
        if path.startswith(_LEFT_OUT) or (path.startswith("python_programs/") and path.endswith("_test.py"))
    }
    instances: list[Instance] = []
    for path, text in correct.items():
        name = Path(path).stem
        test = RepoPath(f"python_testcases/test_{name}.py")
        if test not in files:
            continue
        faulty = _git(mirror, "show", f"{commit}:{path}")
        judging = [one for one in (test, RepoPath(f"json_testcases/{name}.json")) if one in files]
        written = [FileEdit(one, "", _git(mirror, "show", f"{commit}:{one}"), created=True) for one in judging]
        instances.append(
            Instance(
                instance_id=f"quixbugs-{name}",
                repo="jkoppel/QuixBugs",
                mirror=MIRROR,
                base_commit=commit,
                python=python,
                install=(
                    f"python{python} -m venv VENV",
                    "VENV/bin/pip install -q 'pytest<9' 'pytest-timeout<3'",
                ),
                test_command=f"python -m pytest -x -rA -q -p no:cacheprovider --timeout={TEST_SECONDS} {test}",
                problem=f"The program {name} gives wrong results.",
                patch=Patch((FileEdit(path, faulty, text),)).diff,
                test_patch=Patch(tuple(written)).diff,
                fail_to_pass=(),
                replaced={
                    **{p: t for p, t in correct.items() if p != path},
                    **hidden,
                    **dict.fromkeys(judging),
                },
            )
        )
    return tuple(instances)


def _git(mirror: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(mirror), *arguments], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EnvironmentProblem(f"git {arguments[0]} failed in {mirror}: {error}", "Mirror it anew.") from error
    return done.stdout.decode("utf-8")
