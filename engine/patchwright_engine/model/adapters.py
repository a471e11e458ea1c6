"""LoRA adapters in GGUF files: which role each plays, what it was made for, and whether it fits the base model.

Invariant: a file that llama.cpp would choke on (a value of the wrong type aborts the process) or that was made for
another base is refused here, before the library sees it, in words that name both and the cure.

Format: llama.cpp's convert_lora_to_gguf.py and llama-adapter.cpp. An *activated* LoRA (arXiv 2504.12397; key
`adapter.alora.invocation_tokens`) reads only the invocation tokens and what follows, so the base's KV cache of
everything before them stays valid.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.errors import ModelUnavailable
from patchwright_engine.model.fingerprint import sampled_digest
from patchwright_engine.model.gguf import GgufHead, Tensor, read_head
from patchwright_engine.model.parameters import AdapterFile
from patchwright_engine.model.wire import file_identity

INVOCATION = "adapter.alora.invocation_tokens"
_STRING, _FLOAT32 = 8, 6
# What convert_lora_to_gguf.py writes: f32, f16, q8_0, bf16.
_KINDS = {0, 1, 8, 30}
# How a file's name says that the same model was quantized or repacked.
_PACKED = re.compile(r"(?i)[-_. ](ud[-_])?(i?q\d(_\w+)*|bf16|fp?16|f32|awq|gptq|gguf|int[48]|[48]bit|bnb)(?=[-_. ]|$)")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A checked adapter. `invocation` holds the tokens that switch an activated LoRA on; () for a plain one."""

    role: str
    path: Path
    invocation: tuple[int, ...] = ()

    @property
    def activated(self) -> bool:
        return bool(self.invocation)


def identity(file: AdapterFile) -> str:
    """The same for every process that means this version of this file in this role.

    Raises:
        ModelUnavailable: there is no such file.
    """
    try:
        return f"{file.role}|{file_identity(file.path)}"
    except OSError as error:
        raise _unusable(file, f"it cannot be read: {error.strerror or error}") from error


def files_identity(base: Path, files: Sequence[AdapterFile]) -> str:
    """The same for equal weights with equal adapters, wherever the files lie; '' when one cannot be read."""
    try:
        parts = [("base", sampled_digest(base)), *((file.role, sampled_digest(file.path)) for file in files)]
    except OSError:
        return ""
    return " ".join(f"{role}:{size}:{digest[:32]}" for role, (size, digest) in sorted(parts))


def check_adapters(files: Sequence[AdapterFile], base: Path) -> tuple[Adapter, ...]:
    """Read the heads of all `files` and of the model `base`, and see that they fit.

    Raises:
        ModelUnavailable: one of them is broken, no LoRA adapter, or made for another base.
    """
    if not files:
        return ()
    base_head = read_head(base)
    return tuple(_check(file, base, base_head) for file in files)


def invocation_start(tokens: Sequence[int], adapter: Adapter) -> int | None:
    """Where an activated adapter begins to read `tokens`: at the last occurrence of its invocation tokens."""
    wanted = list(adapter.invocation)
    starts = range(len(tokens) - len(wanted), -1, -1)
    return next((start for start in starts if list(tokens[start : start + len(wanted)]) == wanted), None)


def _check(file: AdapterFile, base: Path, base_head: GgufHead) -> Adapter:
    try:
        head = read_head(file.path)
    except ModelUnavailable as error:
        raise _unusable(file, re.sub(f"^{re.escape(str(file.path))} ", "it ", error.message)) from error
    if head.values.get("general.type") != "adapter" or head.values.get("adapter.type") != "lora":
        what = head.values.get("adapter.type") or head.values.get("general.type", "model")
        raise _unusable(file, f"it is no LoRA adapter (the file says '{what}')")
    _check_types(file, head)
    architecture, wanted = head.values.get("general.architecture"), base_head.values.get("general.architecture")
    if architecture != wanted:
        raise _other_base(file, head, base, f"it is for models of kind '{architecture}', this one is '{wanted}'")
    named = list(_made_for(head))
    if named and not {_plain(name) for name in named} & {_plain(name) for name in _names_of(base, base_head)}:
        raise _other_base(file, head, base, f"it was made for {named[0]}")
    invocation = head.integers.get(INVOCATION, ())
    if max(invocation, default=0) >= int(base_head.values.get("tokenizer.ggml.tokens", 0)):
        raise _other_base(file, head, base, "its invocation tokens are of another vocabulary")
    if invocation and file.role == "reasoner":
        raise _unusable(file, "it is an activated LoRA, and those can only judge")
    if int(base_head.values.get("split.count", 1)) <= 1:
        _check_shapes(file, head, base, base_head)
    return Adapter(file.role, file.path, invocation)


def _check_types(file: AdapterFile, head: GgufHead) -> None:
    """llama.cpp asserts these types, and a failed assertion ends the process."""
    expected = {"general.architecture": _STRING, "adapter.lora.alpha": _FLOAT32}
    for key, kind in expected.items():
        if head.kinds.get(key, kind) != kind:
            raise _unusable(file, f"its value of {key} has the wrong type")
    if any(token < 0 for token in head.integers.get(INVOCATION, ())):
        raise _unusable(file, "its invocation tokens are negative")
    if INVOCATION in head.kinds and not head.integers.get(INVOCATION):
        raise _unusable(file, "its invocation tokens cannot be read")
    odd = next((tensor for tensor in head.tensors if tensor.kind not in _KINDS), None)
    if odd:
        raise _unusable(file, f"its tensor {odd.name} is neither f32, f16, bf16 nor q8_0")


def _check_shapes(file: AdapterFile, head: GgufHead, base: Path, base_head: GgufHead) -> None:
    base_tensors = {tensor.name: tensor for tensor in base_head.tensors}
    mine = {tensor.name: tensor for tensor in head.tensors}
    names = sorted({name.removesuffix(".lora_a").removesuffix(".lora_b") for name in mine if ".lora_" in name})
    if not names:
        raise _unusable(file, "it holds no LoRA tensors")
    for name in names:
        a, b, whole = mine.get(f"{name}.lora_a"), mine.get(f"{name}.lora_b"), base_tensors.get(name)
        if a is None or b is None:
            raise _unusable(file, f"half of the pair for {name} is missing")
        if whole is None:
            raise _other_base(file, head, base, f"it changes {name}, which this model does not have")
        if not _fits(a, b, whole):
            shapes = f"{_dims(a)} and {_dims(b)} for {name}, which is {_dims(whole)}"
            raise _other_base(file, head, base, f"its shapes are {shapes}")


def _fits(a: Tensor, b: Tensor, whole: Tensor) -> bool:
    """Whether B·A has the shape of the base's tensor; A of the embedding is stored the other way round."""
    a1, b1, w1 = (_padded(tensor) for tensor in (a, b, whole))
    if whole.name.endswith("token_embd.weight"):
        return w1[0] == b1[1] and w1[1] == a1[1] and a1[0] == b1[0]
    return w1[0] == a1[0] and w1[1] == b1[1] and a1[1] == b1[0] and a1[2:] == b1[2:] == w1[2:]


def _padded(tensor: Tensor) -> tuple[int, ...]:
    return (*tensor.shape, 1, 1, 1, 1)[:4]


def _dims(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape))


def _made_for(head: GgufHead) -> Iterator[str]:
    """The names by which an adapter calls its base; none when it does not say."""
    for index in range(int(head.values.get("general.base_model.count", 1))):
        for key in ("name", "repo_url"):
            name = str(head.values.get(f"general.base_model.{index}.{key}", "")).rstrip("/").rpartition("/")[2]
            if name:
                yield name


def _names_of(base: Path, head: GgufHead) -> list[str]:
    parts = [str(head.values.get(f"general.{key}", "")) for key in ("basename", "size_label", "finetune")]
    return [base.stem, str(head.values.get("general.name", "")), "-".join(part for part in parts if part)]


def _plain(name: str) -> str:
    """A model's name without its packing: 'Qwen2.5 Coder 0.5B Instruct AWQ' is 'qwen25coder05binstruct'."""
    return re.sub(r"[\W_]", "", _PACKED.sub("", name)).lower()


def _unusable(file: AdapterFile, why: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"the {file.role} adapter {file.path} cannot be used: {why}",
        f"Get or convert it again, or take it out: {_where(file)}.",
    )


def _other_base(file: AdapterFile, head: GgufHead, base: Path, why: str) -> ModelUnavailable:
    made_for = next(_made_for(head), "")
    cure = f"Choose {made_for} as the model" if made_for else "Choose the model it was trained on"
    return ModelUnavailable(
        f"the {file.role} adapter {file.path} does not fit the model {base}: {why}",
        f"{cure}, train an adapter for this one, or take it out: {_where(file)}.",
    )


def _where(file: AdapterFile) -> str:
    return f"delete the file, or '{file.role}' below [adapters] in config.toml"
