"""The catalog file, the user's additions to it, and which model a spec means."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from patchwright_engine.config import Settings, folders
from patchwright_engine.errors import BadInput, ModelUnavailable
from patchwright_engine.model.catalog import default_entry, load_catalog, resolve_model
from patchwright_engine.model.plan import plan_memory
from patchwright_engine.model.probe import Gpu, Hardware

GIB = 1 << 30
OWN = """
[[model]]
name = "swe-reasoner-32b"
path = "{path}"
parameters = 32_763_876_352
quantization = "Q4_K_M"
licence = "Apache-2.0"
context = 32_768
thinks = true
"""


def write_user_catalog(text: str) -> None:
    path = folders().config / "models.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def cpu(cores: int, gib: int) -> Hardware:
    return Hardware(cores, cores, gib * GIB, gib * GIB)


def card(gib: int) -> Hardware:
    return Hardware(8, 8, 32 * GIB, 32 * GIB, (Gpu("card", gib * GIB, gib * GIB, "cuda"),))


def test_every_promised_model_is_there_with_all_that_a_pull_needs() -> None:
    entries = load_catalog().entries
    assert [entry.name for entry in entries] == [
        f"qwen2.5-coder-{size}" for size in ("0.5b", "1.5b", "7b", "14b", "32b")
    ]
    for entry in entries:
        assert len(entry.sha256) == 64
        assert entry.hub
        assert len(entry.hub.revision) == 40
        assert entry.quantization == "Q4_K_M"
        assert entry.roles == ("reasoner", "prm", "orm")
        # 4.5 to 6.6 bits a weight, or the numbers of an entry were mixed up.
        assert 4.5 < entry.size * 8 / entry.parameters < 8


def test_minimum_memory_holds_the_smallest_plan() -> None:
    for entry in load_catalog().entries:
        least = plan_memory(entry, Hardware(1, 1, 0, 0))
        assert least.n_ctx == 4096
        assert least.total_bytes < entry.min_memory < least.total_bytes * 1.6 + GIB // 4


@pytest.mark.parametrize(
    "name",
    [
        "qwen2.5-coder-1.5b",
        "1.5b",
        "1.5B",
        "Coder-1.5b",
        "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        "coder-1.5b-instruct",
    ],
)
def test_short_names_find_their_model(name: str) -> None:
    assert load_catalog().get(name).name == "qwen2.5-coder-1.5b"


@pytest.mark.parametrize(
    ("name", "message"), [("5b", "no model is called"), ("coder", "could be"), ("", "no model"), ("*", "no model")]
)
def test_unknown_and_ambiguous_names_list_the_known_ones(name: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        load_catalog().get(name)
    assert "qwen2.5-coder-32b" in caught.value.cure


def test_a_users_own_model_is_found_by_name(make_gguf: Callable[..., Path]) -> None:
    path = make_gguf("mine.gguf")
    write_user_catalog(OWN.format(path=path))
    model = resolve_model("swe-reasoner-32b", Settings())
    assert (model.kind, model.path, model.name) == ("gguf", path, "swe-reasoner-32b")
    assert model.entry
    assert model.entry.thinks
    with pytest.raises(BadInput, match=r"qwen2.5-coder-32b or swe-reasoner-32b"):
        load_catalog().get("32b")


def test_a_users_entry_wins_over_the_built_in_one() -> None:
    write_user_catalog('[[model]]\nname = "Qwen2.5-Coder-7B"\nparameters = 1\nlicence = "mine"\n')
    catalog = load_catalog()
    assert catalog.get("qwen2.5-coder-7b").licence == "mine"
    assert len(catalog.entries) == 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("colour = 'red'", "unknown key 'colour'"),
        ("size = 'big'", "'size' has the wrong type"),
        ("sha256 = 'abc'", "64 hexadecimal digits"),
        ("file = '../../../.bashrc'", "plain file name"),
        ("path = 'models/a.gguf'", "absolute"),
        ("roles = ['cook']", "unknown role 'cook'"),
        ("hub = { repository = 'x' }", "repository"),
        ("= 3", "not valid TOML"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_place(line: str, message: str) -> None:
    write_user_catalog(f'[[model]]\nname = "a"\nparameters = 1\nlicence = "x"\n{line}\n')
    with pytest.raises(BadInput, match=message) as caught:
        load_catalog()
    assert "models.toml" in str(caught.value)


def test_a_url_is_a_server_and_a_path_is_a_file(make_gguf: Callable[..., Path]) -> None:
    server = resolve_model("http://127.0.0.1:8080/v1", Settings())
    assert (server.kind, server.url, server.path) == ("url", "http://127.0.0.1:8080/v1", None)
    path = make_gguf()
    assert resolve_model(str(path), Settings()).path == path
    assert resolve_model(None, Settings(model=str(path))).path == path


def test_a_broken_or_missing_file_is_unavailable(tmp_path: Path, make_gguf: Callable[..., Path]) -> None:
    path = make_gguf()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelUnavailable, match="ends early"):
        resolve_model(str(path), Settings())
    with pytest.raises(ModelUnavailable, match="No such file"):
        resolve_model(str(tmp_path / "none.gguf"), Settings())


def test_a_model_that_is_not_installed_names_its_pull() -> None:
    with pytest.raises(ModelUnavailable, match="not installed") as caught:
        resolve_model("7b", Settings())
    assert "patchwright models pull qwen2.5-coder-7b" in caught.value.cure
    with pytest.raises(ModelUnavailable, match="no model is installed") as caught:
        resolve_model(None, Settings())
    assert "patchwright models pull qwen2.5-coder" in caught.value.cure


def test_a_file_of_the_wrong_size_is_not_the_model(make_gguf: Callable[..., Path]) -> None:
    target = load_catalog().get("1.5b").installed_path
    target.parent.mkdir(parents=True)
    make_gguf().rename(target)
    assert not load_catalog().get("1.5b").installed
    with pytest.raises(ModelUnavailable, match="1,117,320,768"):
        resolve_model("1.5b", Settings())


def test_without_a_choice_an_installed_model_that_suits_runs(make_gguf: Callable[..., Path]) -> None:
    path = make_gguf("small.gguf")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    shape = "{ layers = 2, embedding = 64, heads = 4, kv_heads = 2, head_dim = 16, vocabulary = 8 }"
    write_user_catalog(
        f'[[model]]\nname = "small"\npath = "{path}"\nparameters = 9\nlicence = "x"\nsha256 = "{digest}"\n'
        f"size = {path.stat().st_size}\ncpu_cores = 1\nshape = {shape}\n"
    )
    assert resolve_model(None, Settings()).name == "small"


@pytest.mark.parametrize(
    ("hardware", "expected"),
    [
        (cpu(2, 23), "1.5b"),
        (cpu(1, 8), "0.5b"),
        (cpu(2, 2), "0.5b"),
        (cpu(8, 16), "7b"),
        (cpu(8, 4), "1.5b"),
        (cpu(64, 256), "14b"),
        (card(8), "7b"),
        (card(12), "14b"),
        (card(24), "32b"),
        (card(2), "7b"),
    ],
)
def test_the_probe_chooses_by_cores_memory_and_card(hardware: Hardware, expected: str) -> None:
    assert default_entry(load_catalog(), hardware).name == f"qwen2.5-coder-{expected}"


def test_the_choice_does_not_change_with_the_load() -> None:
    busy = Hardware(8, 8, 32 * GIB, 1 * GIB, (Gpu("card", 24 * GIB, 1 * GIB, "cuda"),))
    assert default_entry(load_catalog(), busy).name == "qwen2.5-coder-32b"


def test_an_entry_of_unknown_size_is_no_default_until_its_file_is_there(make_gguf: Callable[..., Path]) -> None:
    """Nothing known would count as nothing needed, and suit every card."""
    path = make_gguf("mine.gguf")
    write_user_catalog(OWN.format(path=path) + "cpu_cores = 1\n")
    assert default_entry(load_catalog(), card(24)).name == "swe-reasoner-32b"
    path.unlink()
    assert default_entry(load_catalog(), card(24)).name == "qwen2.5-coder-32b"
