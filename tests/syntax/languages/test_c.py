"""C: functions behind pointers, structs and their typedefs, macros, includes."""

from language_tests import LanguageTests


class TestC(LanguageTests):
    path = "src/cart.c"
    source = """
#include <stdio.h>
#include "cart.h"
#include "../money/round.h"

#define LIMIT 10
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Holds items until they are paid. */
typedef struct cart {
    struct item *items;
    size_t count;
} Cart;

struct item { int price; };
typedef struct { int x; } Point;
enum color { RED, BLUE = 2 };
typedef enum { A, B } Letter;
union value { int i; };
typedef int (*callback)(struct item *);
typedef unsigned long u64;

static int cache = 0;
const char *names[] = {"a", "b"};
extern int elsewhere;
static int used;
struct item zero, *head = NULL;

int proto(int a);

static inline int sum(const Cart *cart, callback cb)
{
    int total = 0;
    for (size_t i = 0; i < cart->count; i++)
        total += cb(&cart->items[i]) + MAX(LIMIT, 2);
    return total;
}

char *name_of(struct item *it)
{
    it->fn(it);
    return (char *)names[0];
}

static struct item **grow(void) { return NULL; }
int (*pick(int n))(int) { return 0; }
void old_style(a) int a; { printf("%d", a); }
#ifdef X
int conditional(void) { return 1; }
#endif
"""
    outline = """
5-5 variable LIMIT | #define LIMIT 10
6-6 function MAX | #define MAX(a, b)
9-12 class Cart | typedef struct cart
9-12 class cart | struct cart
14-14 class item | struct item
15-15 class Point | typedef struct
16-16 class color | enum color
17-17 class Letter | typedef enum
18-18 class value | union value
19-19 class callback | typedef int (*callback)(struct item *)
20-20 class u64 | typedef unsigned long u64
22-22 variable cache | static int cache = 0
23-23 variable names | const char *names[] = {"a", "b"}
25-25 variable used | static int used
26-26 variable zero | struct item zero, *head = NULL
26-26 variable head | struct item zero, *head = NULL
30-36 function sum | static inline int sum(const Cart *cart, callback cb)
38-42 function name_of | char *name_of(struct item *it)
44-44 function grow | static struct item **grow(void)
45-45 function pick | int (*pick(int n))(int)
46-46 function old_style | void old_style(a) int a
48-48 function conditional | int conditional(void)
"""
    uses = """
10: item
19: item
26: item
30: Cart callback
34: cb MAX
38: item
40: fn
44: item
46: printf
"""
    imports = """
1 stdio.h
2 cart.h
3 ../money/round.h
"""
    quoted = "%d"
    broken = """
int fine(void) { return 1; }
int broken(int a { return 2; }
struct after { int x; };
"""
    seen = (
        "fine",
        "after",
    )
    files = """
src/cart.c src/cart.h include/shop/cart.h include/shop/list.h money/round.h money/round.c lib/string.h
"""
    targets = (
        ("src/cart.c", "cart.h", "", "src/cart.h"),
        ("src/cart.c", "../money/round.h", "", "money/round.h"),
        ("src/cart.c", "shop/list.h", "", "include/shop/list.h"),
        ("src/cart.c", "list.h", "", "include/shop/list.h"),
        ("src/cart.c", "shop/cart.h", "", "include/shop/cart.h"),
        ("src/cart.c", "stdio.h", "", ""),
    )
    tests = ("src/test_cart.c", "src/cart_test.c", "tst/tst_cart.c")
    code = ("src/cart.c", "src/contest.c", "src/latest.h")
    project = (
        (
            "src/cart.c",
            """
#include "money.h"

int cart_total(struct cart *cart)
{
    return round_cents(cart->sum);
}
""",
        ),
        (
            "src/money.c",
            """
#include "money.h"

int round_cents(int amount)
{
    return (amount + 5) / 10 * 10;
}

char *parse_currency(char *text)
{
    return text;
}
""",
        ),
        (
            "src/money.h",
            """
int round_cents(int amount);
char *parse_currency(char *text);
""",
        ),
        (
            "src/mail.c",
            """
static int send_receipt(const char *address)
{
    return connect_to(address);
}
""",
        ),
        (
            "tests/test_money.c",
            """
int main(void) { return round_cents(3) == 0; }
""",
        ),
    )
    issues = (
        ("`parse_currency` fails on lower case", "src/money.c::parse_currency"),
        ("cart_total is wrong for an empty cart", "src/cart.c::cart_total"),
        (
            """
It crashes:
==42==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x60200000eff5
    #0 0x4f1d2a in strlen (/usr/lib/libasan.so.5+0x4f1d2a)
    #1 0x4f1d2b in send_receipt /home/me/shop/src/mail.c:3:12
    #2 0x4f1e00 in main /home/me/shop/main.c:9:5
""",
            "src/mail.c::send_receipt",
        ),
    )
    faulty = """
static int
sum(const Cart *cart)
{
    return 0;
}

int size(void) { return 0; }
"""
    shown = "sum"
    answer = """
```c
static int
sum(const Cart *cart)
{
    return cart->a + cart->b;
}
```
"""
    mended = """
static int
sum(const Cart *cart)
{
    return cart->a + cart->b;
}

int size(void) { return 0; }
"""
    refused = (
        (
            "syntax",
            """
```c
static int
sum(const Cart *cart)
{
    return cart->a + (cart->b;
}
```
""",
        ),
    )
