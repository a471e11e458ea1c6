"""Rust: methods in impl blocks, traits, attributes, nested use lists, modules."""

from language_tests import LanguageTests


class TestRust(LanguageTests):
    path = "src/cart.rs"
    source = """
//! Carts.
use std::collections::HashMap;
use crate::money::{self, round, Currency as Cur, deep::{Inner, other::*}};
use super::shop::*;
use self::local as renamed;
pub use serde;
mod util;
extern crate alloc;

pub const LIMIT: usize = 10;
static mut CACHE: Option<u8> = None;

/// Holds items until they are paid.
#[derive(Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub struct Cart<T> where T: Item {
    items: Vec<T>,
}
struct Unit;
pub(crate) struct Pair(i32, String);
pub enum Color { Red, Blue { hex: String } }
type Alias<T> = Result<T, CartError>;

pub trait Store: Send {
    const N: usize;
    fn get(&self, id: &str) -> Option<Currency>;
    fn put(&mut self) { self.get("x"); }
}

impl<T: Item> Cart<T> {
    pub const MAX: u8 = 3;

    #[inline]
    pub async fn total(&self) -> Result<u32, Error> where T: Copy {
        fn inner() -> u8 { 1 }
        let sum = self.items.iter().map(|i| i.price::<u32>()).sum();
        Ok(round(sum)?)
    }
}

impl<T> fmt::Display for Cart<T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result { write!(f, "{}", money::show(self)) }
}
impl Store for &Unit { fn get(&self) {} }

macro_rules! my_vec { ($x:expr) => { vec![$x] }; }

fn main() {
    let cart = Cart { items: my_vec![1] };
    helper(cart);
    Cart::<u8>::new();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_works() { assert_eq!(total(), LIMIT); }
}
"""
    outline = """
10-10 variable LIMIT | pub const LIMIT: usize = 10
11-11 variable CACHE | static mut CACHE: Option<u8> = None
15-18 class Cart | pub struct Cart<T> where T: Item
19-19 class Unit | struct Unit
20-20 class Pair | pub(crate) struct Pair
21-21 class Color | pub enum Color
22-22 class Alias | type Alias<T> = Result<T, CartError>
24-28 class Store | pub trait Store: Send
26-26 method Store.get | fn get(&self, id: &str) -> Option<Currency>
27-27 method Store.put | fn put(&mut self)
31-31 variable Cart.MAX | pub const MAX: u8 = 3
33-38 method Cart.total | pub async fn total(&self) -> Result<u32, Error> where T: Copy
35-35 function Cart.total.inner | fn inner() -> u8
42-42 method Cart.fmt | fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result
44-44 method Unit.get | fn get(&self)
46-46 function my_vec | macro_rules! my_vec
48-52 function main | fn main()
58-59 function tests.it_works | fn it_works()
"""
    uses = """
11: Option
16: T T Item
17: Vec T
20: String
21: String
22: T Result T CartError
24: Send
26: Option Currency
27: get
30: T Item Cart T
34: Result Error T Copy
36: iter map price sum
37: Ok round
41: T Display Cart T
42: Formatter Result write show
44: Store Unit
46: vec
49: Cart my_vec
50: helper
51: Cart new
59: assert_eq total
"""
    imports = """
2 std::collections: HashMap
3 crate::money: self round Currency
3 crate::money::deep: Inner
4 super::shop: *
5 self: local
6 serde
7 self::util
56 super: *
"""
    quoted = "camelCase"
    broken = """
fn fine() -> u8 { 1 }
impl Cart {
    fn broken(&self -> u8 { 2 }
}
fn after() {}
"""
    seen = (
        "fine",
        "after",
    )
    files = """
Cargo.toml src/lib.rs src/main.rs src/cart.rs src/cart/util.rs src/money/mod.rs src/money/deep.rs src/shop.rs
tests/total.rs crates/api/src/lib.rs crates/api/src/routes.rs
"""
    targets = (
        ("src/cart.rs", "crate::money", "self round", "src/money/mod.rs"),
        ("src/cart.rs", "crate::money", "deep", "src/money/mod.rs src/money/deep.rs"),
        ("src/cart.rs", "super::shop", "*", "src/shop.rs"),
        ("src/cart.rs", "self::util", "", "src/cart/util.rs"),
        ("src/lib.rs", "self::cart", "", "src/cart.rs"),
        ("src/money/mod.rs", "self::deep", "Inner", "src/money/deep.rs"),
        ("src/main.rs", "shop::cart", "Cart", "src/cart.rs"),
        ("tests/total.rs", "shop::money", "round", "src/money/mod.rs"),
        ("crates/api/src/routes.rs", "crate", "routes", "crates/api/src/lib.rs"),
        ("crates/cli/src/run.rs", "api::routes", "Route", "crates/api/src/routes.rs"),
        ("crates/cli/src/run.rs", "api", "Api", "crates/api/src/lib.rs"),
        ("src/cart.rs", "std::collections", "HashMap", ""),
        ("src/cart.rs", "serde", "", ""),
    )
    tests = ("tests/total.rs", "benches/total.rs", "src/cart/tests.rs")
    code = ("src/cart.rs", "src/attest.rs")
    project = (
        (
            "Cargo.toml",
            """
[package]
name = "shop"
""",
        ),
        (
            "src/lib.rs",
            """
pub mod cart;
pub mod money;
pub mod mail;
""",
        ),
        (
            "src/cart.rs",
            """
use crate::money::round;

pub struct Cart { items: Vec<Item> }

impl Cart {
    pub fn total(&self) -> u32 {
        round(self.items.iter().map(|item| item.price).sum())
    }
}
""",
        ),
        (
            "src/money.rs",
            """
pub fn round(amount: u32) -> u32 {
    (amount + 5) / 10 * 10
}

pub fn parse_currency(text: &str) -> String {
    text.trim().to_string()
}
""",
        ),
        (
            "src/mail.rs",
            """
impl Mailer {
    pub fn send_receipt(&self, address: &str) {
        self.connect(address).unwrap();
    }
}
""",
        ),
        (
            "tests/total.rs",
            """
#[test]
fn total_of_a_cart() { assert_eq!(Cart::new().total(), 0); }
""",
        ),
    )
    issues = (
        ("`parse_currency` fails on lower case", "src/money.rs::parse_currency"),
        ("Cart::total is wrong for an empty cart", "src/cart.rs::Cart.total"),
        (
            """
thread 'main' panicked at src/mail.rs:3:31:
called `Result::unwrap()` on an `Err` value: Refused
stack backtrace:
   0: rust_begin_unwind
             at /rustc/9fc6b431/library/std/src/panicking.rs:692:5
   3: shop::mail::Mailer::send_receipt::h1f2e3d4c5b6a7988
             at ./src/mail.rs:3:9
""",
            "src/mail.rs::Mailer.send_receipt",
        ),
    )
    faulty = """
impl Cart {
    pub fn total(&self) -> u32 {
        0
    }

    pub fn size(&self) -> usize { 0 }
}
"""
    shown = "Cart.total"
    answer = """
```rust
pub fn total(&self) -> u32 {
    self.items.iter().map(|item| item.price).sum()
}
```
"""
    mended = """
impl Cart {
    pub fn total(&self) -> u32 {
        self.items.iter().map(|item| item.price).sum()
    }

    pub fn size(&self) -> usize { 0 }
}
"""
    refused = (
        (
            "syntax",
            """
```rust
pub fn total(&self) -> u32 {
    self.items.iter().map(|item| item.price.sum(
}
```
""",
        ),
    )
