"""Ruby: modules, singleton methods, structs, predicates, requires."""

from language_tests import LanguageTests


class TestRuby(LanguageTests):
    path = "lib/shop/cart.rb"
    source = """
require 'json'
require_relative "money"
require_relative '../util'
autoload :Mail, 'shop/mail'

module Shop
  LIMIT = 10

  # Holds items until they are paid.
  class Cart < Base
    include Enumerable
    attr_reader :items, :size
    MAX = 3

    def initialize(items = [])
      # Start empty.
      @items = items
      super()
    end

    def total(rate: 1.0)
      # Comment first.
      items.map { |i| i.price }.sum * rate
    end

    def self.create(*args) = new(*args)

    def empty?
    end

    class << self
      def build; Cart.new; end
    end

    private

    def []=(a, b); end
  end

  class Empty; end

  class Cart::Item < Struct.new(:a)
    def price = @price ||= Money::Round.call(@raw)
  end
end

def helper(a)
  raise Shop::CartError, "no" unless a
  puts a
rescue Foo::Bar => e
  retry
end

Point = Struct.new(:x, :y) do
  def norm; Math.sqrt(x); end
end
"""
    outline = """
6-45 class Shop | module Shop
7-7 variable Shop.LIMIT | LIMIT = 10
10-38 class Shop.Cart | class Cart < Base
13-13 variable Shop.Cart.MAX | MAX = 3
15-19 method Shop.Cart.initialize | def initialize(items = [])
21-24 method Shop.Cart.total | def total(rate: 1.0)
26-26 method Shop.Cart.create | def self.create(*args)
28-29 method Shop.Cart.empty? | def empty?
32-32 method Shop.Cart.build | def build
37-37 method Shop.Cart.[]= | def []=(a, b)
40-40 class Shop.Empty | class Empty
42-44 class Shop.Cart.Item | class Cart::Item < Struct.new(:a)
43-43 method Shop.Cart.Item.price | def price
47-52 function helper | def helper(a)
54-56 class Point | Point = Struct.new(:x, :y)
55-55 method Point.norm | def norm
"""
    uses = """
1: require
2: require_relative
3: require_relative
4: autoload
10: Base
11: include Enumerable
12: attr_reader
23: map price sum
26: new
32: Cart new
42: Item Struct new
43: Money Round call
48: raise Shop CartError
49: puts
50: Foo Bar
54: Struct new
55: Math sqrt
"""
    imports = """
1 json
2 ./money
3 ../util
4 shop/mail
"""
    quoted = "shop/mail"
    broken = """
class Broken
  def fine
    1
  end

  def broken(
    2
  end

  def after
    3
  end
end
"""
    seen = (
        "Broken.fine",
        "Broken.after",
    )
    files = """
lib/shop.rb lib/shop/cart.rb lib/shop/money.rb lib/util.rb lib/json.rb spec/shop/cart_spec.rb app/models/user.rb
"""
    targets = (
        ("lib/shop/cart.rb", "./money", "", "lib/shop/money.rb"),
        ("lib/shop/cart.rb", "../util", "", "lib/util.rb"),
        ("spec/shop/cart_spec.rb", "shop/cart", "", "lib/shop/cart.rb"),
        ("spec/shop/cart_spec.rb", "shop", "", "lib/shop.rb"),
        ("lib/shop/cart.rb", "set", "", ""),
    )
    tests = ("spec/cart_spec.rb", "lib/cart_test.rb", "lib/test_cart.rb", "features/pay.rb")
    code = ("lib/cart.rb", "lib/inspect.rb")
    project = (
        (
            "lib/shop/cart.rb",
            """
require_relative 'money'

module Shop
  class Cart
    def total
      Money.round_half(items.sum(&:price))
    end

    def paid?
      @paid
    end
  end
end
""",
        ),
        (
            "lib/shop/money.rb",
            """
module Shop
  module Money
    def self.round_half(amount)
      amount.round(2)
    end

    def self.parse_currency(text)
      text.strip
    end
  end
end
""",
        ),
        (
            "lib/shop/mail.rb",
            """
module Shop
  class Mailer
    def send_receipt(address)
      connect(address)
    end
  end
end
""",
        ),
        (
            "spec/shop/cart_spec.rb",
            """
describe Shop::Cart do
  it('has a total') { expect(Shop::Cart.new.total).to eq(0) }
end
""",
        ),
    )
    issues = (
        ("`parse_currency` fails on lower case", "lib/shop/money.rb::Shop.Money.parse_currency"),
        ("Cart#paid? is wrong for an empty cart", "lib/shop/cart.rb::Shop.Cart.paid?"),
        (
            """
It fails:
/usr/lib/ruby/3.2.0/socket.rb:61:in `connect': Connection refused (Errno::ECONNREFUSED)
	from /home/me/shop/lib/shop/mail.rb:4:in `send_receipt'
	from bin/shop:9:in `<main>'
""",
            "lib/shop/mail.rb::Shop.Mailer.send_receipt",
        ),
    )
    faulty = """
class Cart
  def total
    0
  end

  def size
    1
  end
end
"""
    shown = "Cart.total"
    answer = """
```ruby
def total
  items.sum(&:price)
end
```
"""
    mended = """
class Cart
  def total
    items.sum(&:price)
  end

  def size
    1
  end
end
"""
    refused = (
        (
            "syntax",
            """
```ruby
def total
  items.sum(&:price
```
""",
        ),
    )
