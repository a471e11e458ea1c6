"""What the probe finds: container limits, cards by their vendors' tools, and nothing where nothing answers."""

import sys
from pathlib import Path

import pytest

from patchwright_engine.model.probe import CgroupLimits, cgroup_limits, probe_hardware

MIB = 1 << 20


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH that holds nothing but what a test puts there."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return folder


def add_tool(folder: Path, name: str, output: str, status: int = 0) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys\nsys.stdout.write({output!r})\nsys.exit({status})\n")
    path.chmod(0o755)


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_max", ".max").replace("_current", ".current")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_this_machine_is_described() -> None:
    found = probe_hardware()
    assert 1 <= found.threads <= found.cores
    assert 0 < found.memory_available <= found.memory_total


def test_no_tool_no_card(tools: Path) -> None:
    assert probe_hardware().gpus == () or sys.platform == "darwin"


def test_nvidia_cards_are_read(tools: Path) -> None:
    add_tool(tools, "nvidia-smi", "0, NVIDIA GeForce RTX 4090, 24564, 23010\n1, NVIDIA RTX A2000, 12282, 12000\n")
    cards = probe_hardware().gpus
    assert [(card.name, card.memory_total, card.backend) for card in cards] == [
        ("NVIDIA GeForce RTX 4090", 24564 * MIB, "cuda"),
        ("NVIDIA RTX A2000", 12282 * MIB, "cuda"),
    ]
    assert cards[0].memory_free == 23010 * MIB


@pytest.mark.parametrize(("visible", "count"), [("1", 1), ("", 0), ("-1", 0), ("0,1", 2), ("GPU-8f6a", 2)])
def test_hidden_cards_do_not_count(tools: Path, monkeypatch: pytest.MonkeyPatch, visible: str, count: int) -> None:
    add_tool(tools, "nvidia-smi", "0, A, 24564, 23010\n1, B, 12282, 12000\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert len(probe_hardware().gpus) == count


def test_rocm_cards_are_read(tools: Path) -> None:
    add_tool(
        tools,
        "rocm-smi",
        '{"card0": {"VRAM Total Memory (B)": "17163091968", "VRAM Total Used Memory (B)": "1000", '
        '"Card Series": "Radeon RX 7800 XT"}, "system": {}}',
    )
    (card,) = probe_hardware().gpus
    assert (card.name, card.memory_free, card.backend) == ("Radeon RX 7800 XT", 17163090968, "rocm")


@pytest.mark.parametrize(
    ("output", "status"),
    [("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", 9), ("0, A, [N/A], 1\n", 0)],
)
def test_a_broken_driver_is_no_card(tools: Path, output: str, status: int) -> None:
    add_tool(tools, "nvidia-smi", output, status)
    add_tool(tools, "rocm-smi", "WARNING: no cards\n")
    assert [card for card in probe_hardware().gpus if card.backend != "metal"] == []


def test_the_tightest_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("0::/user/job\n")
    root = tmp_path / "cgroup"
    write(root, user__memory_max="4000000000", user__memory_current="3000000000", user__cpu_max="150000 100000")
    write(root, user__job__memory_max="max", user__job__cpu_max="max 100000")
    (root / "user/memory.stat").write_text("anon 5\ninactive_file 1000000000\n")
    found = cgroup_limits(root, tmp_path / "membership")
    assert found == CgroupLimits(memory=4_000_000_000, memory_used=2_000_000_000, cpus=1.5)


def test_version_one_limits_are_read(tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("5:memory:/docker/a\n4:cpu:/docker/a\n")
    root = tmp_path / "cgroup"
    (root / "memory").mkdir(parents=True)
    (root / "memory/memory.limit_in_bytes").write_text("2000000000\n")
    (root / "memory/memory.usage_in_bytes").write_text("500000000\n")
    (root / "cpu").mkdir()
    (root / "cpu/cpu.cfs_quota_us").write_text("200000\n")
    (root / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert cgroup_limits(root, tmp_path / "membership") == CgroupLimits(2_000_000_000, 500_000_000, 2.0)


def test_no_control_groups_no_limits(tmp_path: Path) -> None:
    assert cgroup_limits(tmp_path, tmp_path / "none") == CgroupLimits()
