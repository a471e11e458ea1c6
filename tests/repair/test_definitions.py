"""Whole definitions in other languages than Python: what an answer replaces, what it may leave out, what is refused."""

from patchwright_engine.repair.apply import build_patch
from patchwright_engine.repair.refusal import Refusal
from patchwright_engine.repair.summary import explain, normalize_patch
from patchwright_engine.syntax.parse import parse_symbols
from patchwright_engine.types import Patch, RepoPath

CART = """\
import { round } from './money.js';

export class Cart {
  add(item) {
    this.items.push(item);
  }

  total() {
    // in cents
    return this.items.length;
  }
}

function helper() {
  return 1;
}
"""
OVERLOADS = """\
class Cart {
    int add(int a) {
        return 1;
    }

    int add(String a) {
        return 2;
    }
}
"""


def patched(files: dict[str, str], shown: str, answer: str) -> Patch | Refusal:
    """What an answer makes of `files`, of which the symbols `shown` (`path::name`, in order of place) were shown."""
    texts = {RepoPath(path): text for path, text in files.items()}
    symbols = [
        symbol
        for wanted in shown.split()
        for symbol in parse_symbols(
            RepoPath(wanted.split("::")[0]), texts[RepoPath(wanted.split("::")[0])].encode()
        ).symbols
        if symbol.name == wanted.split("::")[1]
    ]
    assert symbols
    return build_patch(answer, snapshot_text=texts.__getitem__, symbols=symbols)


def after(found: Patch | Refusal) -> str:
    assert isinstance(found, Patch), found
    return found.edits[0].after


def kind(found: Patch | Refusal) -> str:
    assert isinstance(found, Refusal), found
    return found.kind


def test_a_class_in_an_answer_is_a_frame_and_what_it_leaves_out_stays() -> None:
    answer = "```js\nclass Cart {\n  total() {\n    return sum(this.items);\n  }\n}\n```"
    new = after(patched({"cart.js": CART}, "cart.js::Cart", answer))
    assert new == CART.replace("    // in cents\n    return this.items.length;", "    return sum(this.items);")


def test_a_class_given_with_all_its_members_replaces_the_old_one() -> None:
    answer = (
        "```js\nclass Cart {\n  size = 0;\n  add(item) { this.size += 1; }\n  total() { return this.size; }\n}\n```"
    )
    new = after(patched({"cart.js": CART}, "cart.js::Cart", answer))
    assert "  size = 0;\n" in new
    assert "push" not in new
    assert new.endswith("}\n\nfunction helper() {\n  return 1;\n}\n")


def test_two_definitions_in_one_answer_replace_both() -> None:
    answer = "```js\nfunction helper() {\n  return 2;\n}\n```\n\n```js\ntotal() {\n  return 3;\n}\n```"
    new = after(patched({"cart.js": CART}, "cart.js::Cart.total cart.js::helper", answer))
    assert "    return 3;\n" in new
    assert "  return 2;\n" in new


def test_a_method_keeps_the_indentation_of_its_place() -> None:
    for margin in ("", "  ", "        "):
        lines = ["total() {", "  const all = this.items;", "", "  return all.length;", "}"]
        code = "\n".join(margin + line if line else "" for line in lines)
        new = after(patched({"cart.js": CART}, "cart.js::Cart.total", f"```js\n{code}\n```"))
        assert "\n  total() {\n    const all = this.items;\n\n    return all.length;\n  }\n}\n" in new


def test_carriage_returns_are_kept() -> None:
    text = CART.replace("\n", "\r\n")
    new = after(patched({"cart.js": text}, "cart.js::helper", "```js\nfunction helper() {\n  return 2;\n}\n```"))
    assert new == text.replace("return 1", "return 2")


def test_an_overload_is_told_by_its_parameters() -> None:
    answer = "```java\nint add(String a) {\n    return 3;\n}\n```"
    assert after(patched({"A.java": OVERLOADS}, "A.java::Cart.add", answer)) == OVERLOADS.replace(
        "return 2", "return 3"
    )


def test_two_places_that_fit_equally_are_refused() -> None:
    answer = "```java\nint add(long a) {\n    return 3;\n}\n```"
    assert kind(patched({"A.java": OVERLOADS}, "A.java::Cart.add", answer)) == "ambiguous"
    files = {
        "a/cart.go": "package a\n\nfunc Run() int { return 1 }\n",
        "b/cart.go": "package b\n\nfunc Run() int { return 1 }\n",
    }
    answer = "```go\nfunc Run() int { return 2 }\n```"
    assert kind(patched(files, "a/cart.go::Run b/cart.go::Run", answer)) == "ambiguous"
    named = patched(files, "a/cart.go::Run b/cart.go::Run", f"b/cart.go\n{answer}")
    assert isinstance(named, Patch)
    assert [edit.path for edit in named.edits] == ["b/cart.go"]


def test_files_of_python_and_of_another_language_are_mended_by_one_answer() -> None:
    files = {"run.py": "def run():\n    return 1\n", "cart.js": CART}
    answer = "```python\ndef run():\n    return 2\n```\n```js\nfunction helper() {\n  return 2;\n}\n```"
    found = patched(files, "run.py::run cart.js::helper", answer)
    assert isinstance(found, Patch)
    assert {edit.path: edit.after for edit in found.edits} == {
        "run.py": "def run():\n    return 2\n",
        "cart.js": CART.replace("return 1", "return 2"),
    }


def test_an_example_beside_the_answer_is_passed_over() -> None:
    answer = "It fails so:\n```js\nnew Cart().total(\n```\nThe fix:\n```js\nfunction helper() {\n  return 2;\n}\n```"
    assert after(patched({"cart.js": CART}, "cart.js::helper", answer)) == CART.replace("return 1", "return 2")


def test_code_of_another_language_is_no_answer() -> None:
    found = patched({"cart.js": CART}, "cart.js::helper", "```python\ndef helper():\n    return 2\n```")
    assert kind(found) == "no_edit"
    assert isinstance(found, Refusal)
    assert "```javascript fence: `helper`" in found.hint


def test_what_changes_no_code_is_refused() -> None:
    same = "```js\nfunction helper() {\n  return 1;\n}\n```"
    assert kind(patched({"cart.js": CART}, "cart.js::helper", same)) == "no_change"
    comment = "```js\nfunction helper() {\n  // the answer\n  return  1;\n}\n```"
    assert kind(patched({"cart.js": CART}, "cart.js::helper", comment)) == "no_change"


def test_what_destroys_code_is_refused() -> None:
    empty = "```js\nfunction helper() {\n}\n```"
    assert kind(patched({"cart.js": CART}, "cart.js::helper", empty)) == "harmful"
    deletes = "cart.js\n<<<<<<< SEARCH\nfunction helper() {\n  return 1;\n}\n=======\n>>>>>>> REPLACE"
    assert kind(patched({"cart.js": CART}, "cart.js::helper", deletes)) == "harmful"


def test_code_left_out_is_refused_and_a_comment_that_was_there_is_not() -> None:
    short = "```js\ntotal() {\n  // ... existing code ...\n  return 2;\n}\n```"
    assert kind(patched({"cart.js": CART}, "cart.js::Cart.total", short)) == "elided"
    text = CART.replace("// in cents", "// same as before")
    answer = "```js\ntotal() {\n  // same as before\n  return 2;\n}\n```"
    assert "return 2;" in after(patched({"cart.js": text}, "cart.js::Cart.total", answer))


def test_an_answer_that_was_cut_is_refused() -> None:
    symbols = [s for s in parse_symbols(RepoPath("cart.js"), CART.encode()).symbols if s.name == "helper"]
    found = build_patch(
        "```js\nfunction helper() {\n  return", snapshot_text=lambda _: CART, symbols=symbols, finish="length"
    )
    assert kind(found) == "cut"


def test_a_file_that_did_not_parse_may_still_be_mended() -> None:
    text = CART + "\nfunction broken( {\n}\n"
    new = after(patched({"cart.js": text}, "cart.js::helper", "```js\nfunction helper() {\n  return 2;\n}\n```"))
    assert new == text.replace("return 1", "return 2")


def test_a_patch_says_which_definitions_it_changes() -> None:
    found = patched({"cart.js": CART}, "cart.js::Cart.total", "```js\ntotal() {\n  return 2;\n}\n```")
    assert isinstance(found, Patch)
    assert explain(found).startswith("changes Cart.total in cart.js (+1")


def test_patches_that_differ_in_comments_and_layout_only_are_one() -> None:
    texts = ("total() {\n  return 2;\n}", "total() {\n  // two\n  return  2;\n}", "total() {\n  return 3;\n}")
    found = [patched({"cart.js": CART}, "cart.js::Cart.total", f"```js\n{text}\n```") for text in texts]
    keys = [normalize_patch(patch) for patch in found if isinstance(patch, Patch)]
    assert keys[0] == keys[1] != keys[2]
