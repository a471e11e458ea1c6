"""Which files count, with git and without."""

import os
import subprocess
from pathlib import Path

import pytest

import patchwright_engine.workspace.scan as scan_module
from patchwright_engine.verify.choose import choose_environment
from patchwright_engine.workspace.scan import Generated, generated_files, scan


def tree(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x\n")


@pytest.mark.parametrize("with_git", [True, False])
def test_ignore_rules_hide_files_and_nested_rules_add_to_them(tmp_path: Path, with_git: bool) -> None:
    tree(tmp_path, "a.py", "out/b.py", "keep.log", "x.log", "sub/c.py", "sub/gen.py", "sub/deep/gen.py", "sub/top.txt")
    (tmp_path / ".gitignore").write_text("/out/\n*.log\n!keep.log\n")
    (tmp_path / "sub" / ".gitignore").write_text("gen.py\n/top.txt\n")
    if with_git:
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert scan(tmp_path).files == (".gitignore", "a.py", "keep.log", "sub/.gitignore", "sub/c.py")


def test_without_git_caches_and_environments_are_left_out(tmp_path: Path) -> None:
    tree(tmp_path, "a.py", "node_modules/m/i.js", ".venv/lib/x.py", "p.egg-info/PKG-INFO", "b/__pycache__/c.py")
    assert scan(tmp_path).files == ("a.py",)


def test_tracked_files_count_even_when_a_rule_would_ignore_them(tmp_path: Path) -> None:
    tree(tmp_path, "build/a.py", "gone.py")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("build/\n")
    (tmp_path / "gone.py").unlink()
    assert scan(tmp_path).files == (".gitignore", "build/a.py")


def test_links_out_of_the_root_are_left_out_and_those_inside_stay(tmp_path: Path) -> None:
    root = tmp_path / "root"
    tree(root, "real.py")
    tree(tmp_path, "secret.py")
    (root / "inside.py").symlink_to("real.py")
    (root / "outside.py").symlink_to(tmp_path / "secret.py")
    (root / "broken.py").symlink_to("nowhere.py")
    assert scan(root).files == ("inside.py", "real.py")


def test_names_with_spaces_quotes_and_umlauts_are_kept(tmp_path: Path) -> None:
    names = ['a "b".py', "c d.py", "é.py"]
    tree(tmp_path, *names)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert scan(tmp_path).files == tuple(sorted(names))


def test_generated_modules_are_found_but_secrets_and_environments_are_not(tmp_path: Path) -> None:
    tree(tmp_path, "pkg/_version.py", "pkg/fast.so", ".env", ".venv/lib/x.py", "p.egg-info/PKG-INFO", "pkg/__init__.py")
    (tmp_path / ".gitignore").write_text("_version.py\n*.so\n.env\n.venv/\n*.egg-info/\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert generated_files(tmp_path).files == ("p.egg-info/PKG-INFO", "pkg/_version.py", "pkg/fast.so")


def test_generated_modules_count_only_where_an_import_reaches_them(tmp_path: Path) -> None:
    tree(tmp_path, "pkg/__init__.py", "pkg/plain/a.py", "notes/read.md", "src/pkg2/__init__.py", "setup.py")
    reached = ["_top.so", "pkg/_version.py", "pkg/fast.so", "pkg/plain/fast.pyd", "src/_top.so", "src/pkg2/v.py"]
    others = ["keys.py", "notes/keys.py", "notes/data.so", "pkg/plain/keys.py", "pkg/made/__init__.py", "pkg/log.txt"]
    tree(tmp_path, *reached, *others)
    (tmp_path / "pkg/to_outside.so").symlink_to("/etc/passwd")
    (tmp_path / ".gitignore").write_text("\n".join([*reached, *others, "*.so"]))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert generated_files(tmp_path) == Generated(tuple(sorted(reached)))


def test_a_written_module_beside_the_code_counts_when_the_project_imports_it(tmp_path: Path) -> None:
    wanted = ("_version.py", "src/_made.py", "spaces/own/tables.py")
    scratch = ("scratch.py", "src/try_it.py", "a-b.py", "spaces/tables_old.py")
    tree(tmp_path, *wanted, *scratch)
    (tmp_path / "module.py").write_text("from _version import version\n# import scratch\n")
    (tmp_path / "src" / "code.py").write_text("if True:\n    import os, _made\nprint('from try_it import x')\n")
    (tmp_path / "spaces" / "own" / "code.py").write_text("from .tables import TABLES\nimport tables_older\n")
    (tmp_path / "spaces" / "more.py").write_text("x = 1\n")
    (tmp_path / ".gitignore").write_text("\n".join([*wanted, *scratch]))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert generated_files(tmp_path).files == tuple(sorted(wanted))
    subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
    assert generated_files(tmp_path).files == tuple(sorted(wanted))


def test_generated_files_are_bounded_and_the_rest_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "pkg/__init__.py", "pkg/huge.py", "pkg/huge.so", "pkg/small.py", "pkg/vast.so")
    (tmp_path / ".gitignore").write_text("huge*\nsmall*\nvast*\n")
    for name, size in {"huge.py": (1 << 20) + 1, "huge.so": (1 << 20) + 1, "vast.so": 1 << 30}.items():
        os.truncate(tmp_path / "pkg" / name, size)  # sparse: it takes no room
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    left_out = ("pkg/huge.py", "pkg/vast.so")
    assert generated_files(tmp_path) == Generated(("pkg/huge.so", "pkg/small.py"), left_out)
    (note,) = [note for note in choose_environment(tmp_path).notes if "git ignores" in note]
    assert "pkg/huge.py, pkg/vast.so" in note
    monkeypatch.setattr(scan_module, "MAX_GENERATED", 1)
    assert generated_files(tmp_path).files == ("pkg/huge.so",)
