"""Go: methods by receiver, grouped declarations, packages as folders."""

from language_tests import LanguageTests


class TestGo(LanguageTests):
    path = "cart/cart.go"
    source = """
// Package cart sums.
package cart

import (
	"fmt"
	str "strings"

	. "example.com/shop/money"
	_ "example.com/shop/init"
)
import "os"

const Limit, Other = 10, 2

const (
	Red = iota
	Blue
)

var cache = map[string]int{}

var (
	ErrEmpty = errors.New("empty")
	x, y     int
)

type Store interface {
	io.Reader
	Get(id string) (Item, error)
}

type (
	ID                        string
	Pair[K comparable, V any] struct {
		Key K
		Val *V
	}
)
type Alias = Pair[string, int]

// Cart holds items until they are paid.
type Cart struct {
	sync.Mutex
	items []Item
}

func New(items ...Item) *Cart { return &Cart{items: items} }

func (c *Cart) Total() (sum int, err error) {
	add := func(a int) { sum += a }
	for _, item := range c.items {
		add(item.Price())
	}
	return fmt.Sprint(sum), nil
}

func (p Pair[K, V]) Swap() Pair[V, K] { return Map[int, string](p) }
func (Cart) Anonymous()               {}
func Map[T, U any](in T) U            { panic(str.ToUpper("x")) }
"""
    outline = """
13-13 variable Limit | Limit, Other = 10, 2
13-13 variable Other | Limit, Other = 10, 2
16-16 variable Red | Red = iota
17-17 variable Blue | Blue
20-20 variable cache | cache = map[string]int{}
23-23 variable ErrEmpty | ErrEmpty = errors.New("empty")
24-24 variable x | x, y int
24-24 variable y | x, y int
27-30 class Store | type Store interface
29-29 method Store.Get | Get(id string) (Item, error)
33-33 class ID | ID string
34-37 class Pair | Pair[K comparable, V any] struct
39-39 class Alias | type Alias = Pair[string, int]
42-45 class Cart | type Cart struct
47-47 function New | func New(items ...Item) *Cart
49-55 method Cart.Total | func (c *Cart) Total() (sum int, err error)
57-57 method Pair.Swap | func (p Pair[K, V]) Swap() Pair[V, K]
58-58 method Cart.Anonymous | func (Cart) Anonymous()
59-59 function Map | func Map[T, U any](in T) U
"""
    uses = """
20: string int
23: New
24: int
28: Reader
29: string Item error
33: string
34: comparable any
35: K
36: V
39: Pair string int
43: Mutex
44: Item
47: Item Cart Cart
49: Cart int error
50: int
52: add Price
54: Sprint
57: Pair K V Pair V K Map int string
58: Cart
59: any T U panic ToUpper
"""
    imports = """
5 fmt
6 strings
8 example.com/shop/money
9 example.com/shop/init
11 os
"""
    quoted = "empty"
    broken = """
package cart

func Fine() int { return 1 }

func (c *Cart) Broken( {
	return
}

func After() {}
"""
    seen = (
        "Fine",
        "After",
    )
    files = """
cart/cart.go cart/item.go cart/cart_test.go money/money.go money/round.go internal/store/store.go
backend/go.mod backend/api/api.go backend/http/server.go cmd/shop/main.go
"""
    targets = (
        ("cart/cart.go", "example.com/shop/money", "", "money/money.go money/round.go"),
        ("money/money.go", "example.com/shop/cart", "", "cart/cart.go cart/item.go"),
        ("cmd/shop/main.go", "github.com/me/shop/internal/store", "", "internal/store/store.go"),
        ("backend/api/api.go", "example.com/backend/http", "", "backend/http/server.go"),
        ("cart/cart.go", "money", "", ""),
        ("cart/cart.go", "fmt", "", ""),
        ("cart/cart.go", "github.com/pkg/errors", "", ""),
    )
    tests = ("cart/cart_test.go", "cart/testdata/a.go")
    code = ("cart/cart.go", "cart/latest.go")
    project = (
        (
            "go.mod",
            """
module example.com/shop
""",
        ),
        (
            "cart/cart.go",
            """
package cart

import "example.com/shop/money"

type Cart struct{ items []Item }

func (c *Cart) Total() int {
	return money.Round(c.sum())
}
""",
        ),
        (
            "money/money.go",
            """
package money

func Round(amount int) int {
	return (amount + 5) / 10 * 10
}

func ParseCurrency(text string) string {
	return text
}
""",
        ),
        (
            "mail/mail.go",
            """
package mail

func (m *Mailer) SendReceipt(address string) {
	m.connect(address)
}
""",
        ),
        (
            "cart/cart_test.go",
            """
package cart

func TestTotal(t *testing.T) { (&Cart{}).Total() }
""",
        ),
    )
    issues = (
        ("`ParseCurrency` fails on lower case", "money/money.go::ParseCurrency"),
        ("Cart.Total is wrong for an empty cart", "cart/cart.go::Cart.Total"),
        (
            """
panic: runtime error: invalid memory address or nil pointer dereference

goroutine 1 [running]:
example.com/shop/mail.(*Mailer).SendReceipt(0x0, {0x4b2f1a, 0x5})
	/home/me/shop/mail/mail.go:4 +0x1d
main.main()
	/home/me/shop/main.go:9 +0x25
""",
            "mail/mail.go::Mailer.SendReceipt",
        ),
    )
    faulty = """
package cart

func (c *Cart) Total() int {
	return len(c.items)
}

func (c *Cart) Size() int { return 0 }
"""
    shown = "Cart.Total"
    answer = """
```go
func (c *Cart) Total() int {
    sum := 0
    for _, item := range c.items {
        sum += item.Price
    }
    return sum
}
```
"""
    mended = """
package cart

func (c *Cart) Total() int {
	sum := 0
	for _, item := range c.items {
		sum += item.Price
	}
	return sum
}

func (c *Cart) Size() int { return 0 }
"""
    refused = (
        (
            "elided",
            """
```go
func (c *Cart) Total() int {
	// ... existing code ...
	return 0
}
```
""",
        ),
    )
