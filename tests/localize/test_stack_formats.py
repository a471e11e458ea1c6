"""Stack traces and compiler messages of many languages name files, lines and functions."""

from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.index import open_index
from patchwright_engine.localize import locate
from patchwright_engine.localize.stack_formats import Place, find_places
from patchwright_engine.localize.traceback import PathMatcher, find_frames
from patchwright_engine.types import Issue, RepoPath
from patchwright_engine.workspace.snapshot import take_snapshot

TRACES = [
    ("    at Cart.total (/app/src/cart.js:12:15)", Place("/app/src/cart.js", 12, "total")),
    ("    at new Cart (file:///app/src/cart.mjs:3:1)", Place("/app/src/cart.mjs", 3, "Cart")),
    ("    at async Object.load [as run] (/app/src/cart.js:1:2)", Place("/app/src/cart.js", 1, "load")),
    ("    at /app/src/my cart.js:12:15", Place("/app/src/my cart.js", 12, None)),
    ("    at total (webpack:///./src/cart.js?4a5b:12:15)", Place("/./src/cart.js", 12, "total")),
    (r"    at total (C:\app\cart.ts:12:15)", Place(r"C:\app\cart.ts", 12, "total")),
    ("total@http://localhost:3000/src/cart.js:12:15", Place("/src/cart.js", 12, "total")),
    ("main.(*Cart).Total.func1(0xc000, {0x1, 0x2})\n\t/go/cart.go:12 +0x1d", Place("/go/cart.go", 12, "Total")),
    ("created by main.Run in goroutine 7\n\t/go/run.go:9 +0x2", Place("/go/run.go", 9, "Run")),
    ("    cart_test.go:7: got 3, want 4", Place("cart_test.go", 7, None)),
    ("thread 'main' panicked at 'index out of bounds', src/cart.rs:12:5", Place("src/cart.rs", 12, None)),
    ("thread 'main' panicked at src/cart.rs:12:5:\nindex out of bounds", Place("src/cart.rs", 12, None)),
    ("   3: <shop::Cart as shop::Store>::put\n             at ./src/cart.rs:12:5", Place("./src/cart.rs", 12, "put")),
    ("   3: shop::run::{{closure}}\n             at ./src/run.rs:2:5", Place("./src/run.rs", 2, "run")),
    ("  --> src/cart.rs:12:5\n   |", Place("src/cart.rs", 12, None)),
    ("\tat com.shop.Cart$Inner.run(Cart.java:12)", Place("com/shop/Cart.java", 12, "run")),
    ("\tat app//com.shop.Cart.lambda$total$0(Cart.java:3)", Place("com/shop/Cart.java", 3, "total")),
    ("\tat com.shop.Cart.total(Cart.java)", Place("com/shop/Cart.java", None, "total")),
    ("#1  0x0000 in cart_total (c=0x0) at src/cart.c:12", Place("src/cart.c", 12, "cart_total")),
    ("#0  shop::Cart::total (this=0x0) at ../src/cart.cpp:12", Place("../src/cart.cpp", 12, "total")),
    ("    #1 0x4f in shop::Cart::~Cart() /b/cart.cc:12:5", Place("/b/cart.cc", 12, "~Cart")),
    ("prog: src/cart.c:12: cart_total: Assertion `n > 0' failed.", Place("src/cart.c", 12, "cart_total")),
    ("src/cart.c:12:5: error: expected ';'", Place("src/cart.c", 12, None)),
    ("src/cart.ts(12,5): error TS2304: Cannot find name", Place("src/cart.ts", 12, None)),
    ("lib/cart.rb:12:in `total': refused (Error)", Place("lib/cart.rb", 12, "total")),
    ("\tfrom lib/cart.rb:12:in 'block (2 levels) in Shop::Cart#total!'", Place("lib/cart.rb", 12, "total!")),
    (
        "#0 /app/src/Cart.php(12): strlen()\n#1 /app/a.php(3): App\\Cart->total()",
        Place("/app/src/Cart.php", 12, "total"),
    ),
    ("PHP Warning:  Undefined variable in /app/src/Cart.php on line 12", Place("/app/src/Cart.php", 12, None)),
    ("   at Shop.Cart`1.Total(Int32 a) in /app/src/Cart.cs:line 12", Place("/app/src/Cart.cs", 12, "Total")),
    (r"   at Shop.Cart.<Run>d__5.MoveNext() in C:\app\Cart.cs:line 12", Place(r"C:\app\Cart.cs", 12, "Run")),
]


@pytest.mark.parametrize(("line", "place"), TRACES, ids=[line.strip()[:40] for line, _ in TRACES])
def test_a_line_of_a_trace_is_read(line: str, place: Place) -> None:
    assert place in find_places(f"It fails:\n{line}\nand that is all\n")


@pytest.mark.parametrize(
    "text",
    [
        "    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)",
        "    at Array.map (<anonymous>)",
        "\tat java.base/java.lang.Thread.run(Native Method)",
        "Look at cart.js for 12:15 reasons",
        "at 12:30 see http://example.com:80/index.html",
        'File "/app/cart.py", line 3, in total',
    ],
)
def test_what_names_no_line_of_source_is_no_frame(text: str) -> None:
    assert find_places(text) == ()


def test_the_first_frame_is_the_innermost() -> None:
    text = "Error: no\n    at inner (/x/src/a.js:1:1)\n    at outer (/x/src/b.js:2:2)\n"
    frames = find_frames(text, PathMatcher([RepoPath("src/a.js"), RepoPath("src/b.js")]))
    assert [(frame.path, frame.function) for frame in frames] == [("src/b.js", "outer"), ("src/a.js", "inner")]


def test_a_python_frame_is_nearer_than_those_of_the_program_that_started_it() -> None:
    text = '    at run (/x/run.js:1:1)\n  File "/x/job.py", line 2, in work\n'
    frames = find_frames(text, PathMatcher([RepoPath("run.js"), RepoPath("job.py")]))
    assert [frame.path for frame in frames] == ["run.js", "job.py"]


def test_links_to_code_of_any_language_are_frames() -> None:
    [frame] = find_frames("see https://github.com/o/r/blob/abc123/src/a.go#L10", PathMatcher([RepoPath("src/a.go")]))
    assert (frame.path, frame.line) == ("src/a.go", 10)


def test_a_line_without_a_function_means_the_function_around_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "cart.rs").write_text("fn first() {\n    one();\n}\n\nfn second() {\n    two();\n}\n")
    snapshot = take_snapshot(root)
    with open_index(root, tmp_path / "cache") as index:
        index.refresh(snapshot, CancelToken())
        found = locate(Issue("thread 'main' panicked at cart.rs:6:5:\nindex out of bounds"), snapshot, index)
    assert found.symbols[0].symbol.name == "second"
