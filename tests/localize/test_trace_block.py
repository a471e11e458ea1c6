"""The trace under a cursor: real ones of every language, in logs, in comments, among code."""

import pytest

from patchwright_engine.localize.trace_block import MAX_COLUMNS, MAX_LINES, holds_trace, trace_block

TRACES = {
    "python": """\
Traceback (most recent call last):
  File "shop/cart.py", line 4, in total
    return sum(prices) / count
           ~~~~~~~~~~~~^~~~~~~
ZeroDivisionError: division by zero""",
    "pytest": """\
shop/cart.py:4: in total
    return sum(prices) / count
E   ZeroDivisionError: division by zero""",
    "javascript": """\
TypeError: Cannot read properties of undefined (reading 'price')
    at Cart.total (/srv/shop/cart.js:14:25)
    at Object.<anonymous> (/srv/shop/main.js:3:6)
    at Module._compile (node:internal/modules/cjs/loader:1105:14)""",
    "firefox": """\
total@http://localhost:8080/src/cart.js:14:25
checkout@http://localhost:8080/src/checkout.js:3:6""",
    "go": """\
panic: runtime error: index out of range [3] with length 3

goroutine 1 [running]:
main.(*Cart).Total(0xc00001c0a8, 0x3)
\t/home/me/shop/cart.go:14 +0x1d
main.main()
\t/home/me/shop/main.go:7 +0x1c""",
    "rust": """\
thread 'main' panicked at src/cart.rs:14:9:
index out of bounds: the len is 3 but the index is 3""",
    "rustc": """\
error[E0425]: cannot find value `prise` in this scope
 --> src/cart.rs:3:5""",
    "java": """\
Exception in thread "main" java.lang.NullPointerException: price
\tat com.shop.Cart.total(Cart.java:14)
\tat com.shop.Main.main(Main.java:5)
Caused by: java.lang.IllegalStateException
\tat com.shop.Prices.load(Prices.java:8)
\t... 2 more""",
    "gdb": """\
Program received signal SIGSEGV, Segmentation fault.
#0  0x0000000000401136 in total (cart=0x0) at src/cart.c:14
#1  0x000000000040115d in main () at src/main.c:5""",
    "sanitizer": """\
==71==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010
READ of size 4 at 0x602000000010 thread T0
    #0 0x4f8b1a in shop::Cart::total() /home/me/shop/src/cart.cpp:14:9
    #1 0x4f8c2e in main /home/me/shop/src/main.cpp:5:3""",
    "gcc": "src/cart.c:14:9: error: 'prise' undeclared (first use in this function)",
    "ruby": """\
lib/cart.rb:14:in `total': undefined method `price' for nil:NilClass (NoMethodError)
\tfrom lib/cart.rb:9:in `each'
\tfrom main.rb:3:in `<main>'""",
    "php": """\
PHP Fatal error:  Uncaught TypeError: Unsupported operand types in /srv/shop/Cart.php:14
Stack trace:
#0 /srv/shop/main.php(3): Shop\\Cart->total()
#1 {main}
  thrown in /srv/shop/Cart.php on line 14""",
    "csharp": """\
Unhandled exception. System.NullReferenceException: Object reference not set to an instance of an object.
   at Shop.Cart.Total(Int32 count) in /home/me/shop/Cart.cs:line 14
   at Program.<Main>$(String[] args) in /home/me/shop/Program.cs:line 3""",
}
every_trace = pytest.mark.parametrize("language", TRACES)


def found(text: str, at: int) -> str:
    lines = text.split("\n")
    return trace_block(lambda number: lines[number], len(lines), at)


@every_trace
def test_a_trace_alone_is_found_from_each_of_its_lines(language: str) -> None:
    trace = TRACES[language]
    assert holds_trace(trace)
    for at in range(trace.count("\n") + 1):
        assert found(trace, at) == trace, at


@every_trace
@pytest.mark.parametrize("leader", ["# ", "    // ", " * ", "-- "])
def test_what_makes_it_a_comment_is_left_out_and_so_is_the_code_around(language: str, leader: str) -> None:
    comment = "\n".join(f"{leader}{line}".rstrip() for line in TRACES[language].split("\n"))
    before, after = "def total(prices):\n    count = 0\n", "\n    return count\n"
    middle = TRACES[language].count("\n") // 2
    assert found(before + comment + after, 2 + middle) == TRACES[language]
    assert found(before + comment + after, 0) == ""
    assert found(before + comment + after, 2 + TRACES[language].count("\n") + 1) == ""


@every_trace
def test_in_a_log_the_lines_far_from_it_stay_out(language: str) -> None:
    log = [f"12:00:0{number} INFO request {number} served" for number in range(9)]
    trace = TRACES[language].split("\n")
    text = "\n".join([*log, "", *trace, "", *log])
    block = found(text, len(log) + 1 + len(trace) // 2)
    assert TRACES[language] in block
    assert len(block.split("\n")) <= len(trace) + 4
    assert found(text, 0) == ""


@pytest.mark.parametrize(
    "text",
    [
        "import os\n\n\ndef f(x):\n    return g(x)\n",
        "see cart.py and cart.go, around line 14\nthen main.rs\n",
        "const at = (x) => x\nlook at (file)\n",
        "# 1. first\n# 2. second\n",
        "raise TypeError('no')\n",
        "",
    ],
)
def test_code_and_prose_are_no_trace(text: str) -> None:
    assert not holds_trace(text)
    assert {found(text, at) for at in range(text.count("\n") + 1)} == {""}


def test_only_the_lines_around_are_looked_at() -> None:
    frames = ["    at total (cart.js:14:25)"] * 5000
    asked: set[int] = set()

    def line(number: int) -> str:
        asked.add(number)
        return frames[number]

    assert trace_block(line, len(frames), 2000).count("\n") >= 50
    assert min(asked) >= 2000 - MAX_LINES
    assert max(asked) <= 2000 + MAX_LINES
    asked.clear()
    frames[1900:2100] = ["x = 1"] * 200
    assert trace_block(line, len(frames), 2000) == ""
    assert len(asked) < 10


def test_only_the_start_of_a_long_line_is_looked_at() -> None:
    lines = ["x" * (MAX_COLUMNS + 100) + " at total (cart.js:14:25)"]
    assert trace_block(lines.__getitem__, 1, 0) == ""
    assert not holds_trace(lines[0])
