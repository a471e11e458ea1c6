"""What the probe finds: container limits, cards by their vendors' tools, and nothing where nothing answers."""

import sys
from pathlib import Path

import pytest

from patchwright_engine.model.probe import (
    CgroupLimits,
    Gpu,
    amdgpu_cards,
    cgroup_limits,
    library_offloads,
    metal_share,
    probe_hardware,
)

MIB = 1 << 20
# As rocm-smi 6.3 prints it, on a desktop whose processor has graphics of its own.
ROCM_SMI = """{"card0": {"VRAM Total Memory (B)": "25753026560", "VRAM Total Used Memory (B)": "1357369344",
"Card Series": "Radeon RX 7900 XTX", "Card Model": "0x744c", "Card Vendor": "Advanced Micro Devices, Inc. [AMD/ATI]",
"Card SKU": "EXT94395", "GFX Version": "gfx1100"}, "card1": {"VRAM Total Memory (B)": "536870912",
"VRAM Total Used Memory (B)": "30019584", "Card Series": "AMD Radeon Graphics", "Card SKU": "RAPHAEL"},
"card2": {"VRAM Total Memory (B)": "N/A", "VRAM Total Used Memory (B)": "N/A"}, "system": {}}"""


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
    add_tool(tools, "rocm-smi", ROCM_SMI)
    (card,) = probe_hardware().gpus
    assert (card.name, card.memory_free, card.backend) == ("Radeon RX 7900 XTX", 25_753_026_560 - 1_357_369_344, "rocm")


def test_hidden_rocm_cards_do_not_count(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_tool(tools, "rocm-smi", ROCM_SMI)
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1")
    assert probe_hardware().gpus == ()
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0")
    assert len(probe_hardware().gpus) == 1


def test_without_rocm_the_amd_driver_tells(tmp_path: Path) -> None:
    """/sys/class/drm of a desktop: the card, the processor's graphics, a connector, and a card of another maker."""
    for card, total, used in (("card1", 17_163_091_968, 1_200_000_000), ("card0", 536_870_912, 30_000_000)):
        device = tmp_path / card / "device"
        device.mkdir(parents=True)
        (device / "mem_info_vram_total").write_text(f"{total}\n")
        (device / "mem_info_vram_used").write_text(f"{used}\n")
    (tmp_path / "card1-DP-1" / "device").mkdir(parents=True)
    (tmp_path / "card1-DP-1" / "device" / "mem_info_vram_total").write_text("17163091968\n")
    (tmp_path / "card2" / "device").mkdir(parents=True)
    assert amdgpu_cards(tmp_path) == (Gpu("AMD GPU (card1)", 17_163_091_968, 15_963_091_968, "rocm"),)
    (tmp_path / "card1" / "device" / "product_name").write_text("AMD Radeon RX 7800 XT\n")
    assert amdgpu_cards(tmp_path)[0].name == "AMD Radeon RX 7800 XT"
    assert amdgpu_cards(tmp_path / "none") == ()


@pytest.mark.parametrize(
    ("memory_gib", "limit", "mib"),
    [(16, "0\n", 10_922), (32, "", 21_845), (64, "0\n", 49_152), (64, "57344\n", 57_344), (16, "99999\n", 16_384)],
)
def test_metal_gets_the_systems_share_or_the_users(memory_gib: int, limit: str, mib: int) -> None:
    assert metal_share(memory_gib << 30, limit) // MIB == mib


@pytest.mark.parametrize(
    ("files", "offloads"),
    [
        (["libggml-base.so", "libggml-cpu.so", "libllama.so"], False),
        (["libggml-base.so", "libggml-cpu.so", "libggml-cuda.so.0"], True),
        (["libggml-base.dylib", "libggml-metal.dylib"], True),
        (["ggml-base.dll", "ggml-vulkan.dll"], True),
        (["libllama.so"], None),
    ],
)
def test_what_the_library_was_built_for_is_told_by_its_files(
    files: list[str], offloads: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lib = tmp_path / "llama_like" / "lib"
    lib.mkdir(parents=True)
    (lib.parent / "__init__.py").write_text("raise SystemExit('nobody should import this')\n")
    for name in files:
        (lib / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert library_offloads("llama_like") is offloads
    assert library_offloads("not_installed_anywhere") is None


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
