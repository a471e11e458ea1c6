"""PHP: namespaces, traits, enums, attributes, group use, requires."""

from language_tests import LanguageTests


class TestPhp(LanguageTests):
    path = "src/Cart.php"
    source = r"""
<?php
declare(strict_types=1);

namespace App\Cart;

use App\Money\Round;
use App\Models\{Item, Price as P};
use function App\Util\sum;

require_once __DIR__ . '/lib/util.php';
include 'other.php';

const MAX = 10;
define('OTHER', 2);

/** Holds items until they are paid. */
#[Entity]
final class Cart extends Base implements \Countable, Store
{
    use Loggable;

    public const LIMIT = 3;
    private array $items = [];

    public function __construct(private readonly Item $first) { parent::__construct(); }

    #[Pure]
    public static function create(int ...$a): static { return new static(new Item()); }

    public function total(?Price $p = null): int|float
    {
        $f = fn($x) => sum($x);
        return array_map($f, $this->items)->reduce(Round::half($p), self::LIMIT);
    }

    abstract protected function nothing();
}

interface Store { public function get(string $id): ?Item; }

trait Loggable
{
    private function log() { Logger::info("x"); }
}

enum Color: string
{
    case Red = 'r';
    public function label(): string { return ucfirst($this->value); }
}

function helper(array $a): void { throw new \App\CartError('no'); }

try {
    helper([]);
} catch (CartError | Other $e) {
}
"""
    outline = r"""
13-13 variable MAX | const MAX = 10
14-14 variable OTHER | define('OTHER', 2)
17-37 class Cart | final class Cart extends Base implements \Countable, Store
22-22 variable Cart.LIMIT | public const LIMIT = 3
25-25 method Cart.__construct | public function __construct(private readonly Item $first)
27-28 method Cart.create | public static function create(int ...$a): static
30-34 method Cart.total | public function total(?Price $p = null): int|float
36-36 method Cart.nothing | abstract protected function nothing()
39-39 class Store | interface Store
39-39 method Store.get | public function get(string $id): ?Item
41-44 class Loggable | trait Loggable
43-43 method Loggable.log | private function log()
46-50 class Color | enum Color: string
49-49 method Color.label | public function label(): string
52-52 function helper | function helper(array $a): void
"""
    uses = """
14: define
17: Entity
18: Base Countable Store
20: Loggable
25: Item __construct
27: Pure
28: static Item
30: Price
32: sum
33: array_map reduce Round half
39: Item
43: Logger info
49: ucfirst
52: CartError
55: helper
56: CartError Other
"""
    imports = r"""
6 App\Money\Round
7 App\Models: Item Price
8 App\Util\sum
10 ./lib/util.php
11 ./other.php
"""
    quoted = "OTHER"
    broken = """
<?php
function fine() { return 1; }
class Broken {
    public function broken( { return 2; }
}
function after() {}
"""
    seen = (
        "fine",
        "after",
    )
    files = """
src/Cart.php src/Money/Round.php src/Models/Item.php src/Models/Price.php src/lib/util.php src/Request.php
tests/CartTest.php
"""
    targets = (
        ("src/Cart.php", "App\\Money\\Round", "", "src/Money/Round.php"),
        ("src/Cart.php", "App\\Models", "Item Price", "src/Models/Item.php src/Models/Price.php"),
        ("src/Cart.php", "./lib/util.php", "", "src/lib/util.php"),
        ("src/Cart.php", "App\\Request", "", "src/Request.php"),
        ("src/Cart.php", "Symfony\\Component\\HttpFoundation\\Request", "", ""),
        ("src/Cart.php", "Psr\\Http\\Request\\Uri", "", ""),
    )
    tests = ("tests/Unit/Cart.php", "src/CartTest.php", "Tests/Helper.php")
    code = ("src/Cart.php", "src/Latest.php")
    project = (
        (
            "src/Cart.php",
            r"""
<?php
namespace App;

use App\Money;

class Cart
{
    public function total(): int
    {
        return Money::round(array_sum($this->items));
    }
}
""",
        ),
        (
            "src/Money.php",
            """
<?php
namespace App;

class Money
{
    public static function round(int $amount): int
    {
        return intdiv($amount + 5, 10) * 10;
    }

    public static function parseCurrency(string $text): string
    {
        return trim($text);
    }
}
""",
        ),
        (
            "src/Mailer.php",
            r"""
<?php
namespace App;

class Mailer
{
    public function sendReceipt(string $address): void
    {
        $this->connect($address);
    }

    private function connect(string $address): void
    {
        throw new \RuntimeException('refused');
    }
}
""",
        ),
        (
            "tests/CartTest.php",
            """
<?php
class CartTest extends TestCase
{
    public function testTotal(): void { (new Cart())->total(); }
}
""",
        ),
    )
    issues = (
        ("`Money::parseCurrency` fails on lower case", "src/Money.php::Money.parseCurrency"),
        ("Cart::total is wrong for an empty cart", "src/Cart.php::Cart.total"),
        (
            r"""
PHP Fatal error:  Uncaught RuntimeException: refused in /app/src/Mailer.php:14
Stack trace:
#0 /app/src/Mailer.php(9): App\Mailer->connect('a@b')
#1 /app/index.php(5): App\Mailer->sendReceipt('a@b')
#2 {main}
""",
            "src/Mailer.php::Mailer.connect",
        ),
    )
    faulty = """
<?php
class Cart
{
    public function total(): int
    {
        return 0;
    }

    public function size(): int { return 0; }
}
"""
    shown = "Cart.total"
    answer = """
```php
<?php
public function total(): int
{
    return array_sum($this->prices);
}
```
"""
    mended = """
<?php
class Cart
{
    public function total(): int
    {
        return array_sum($this->prices);
    }

    public function size(): int { return 0; }
}
"""
    refused = (
        (
            "syntax",
            """
```php
public function total(): int
{
    return array_sum($this->prices;
}
```
""",
        ),
    )
