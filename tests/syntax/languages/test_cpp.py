"""C++: classes, methods outside of them, templates, operators, namespaces."""

from language_tests import LanguageTests


class TestCpp(LanguageTests):
    path = "src/stack.cpp"
    source = """
#include <vector>
#include "shop/stack.hpp"

using std::vector;

namespace shop::util {

constexpr int kLimit = 10;

/// Holds items until they are paid.
template <typename T, int N>
class Stack : public Base<T>, private detail::Hidden {
 public:
  Stack() : size_(0) {}
  explicit Stack(int n);
  ~Stack() { clear(); }
  int size() const { return size_; }
  virtual void push(const T& item) = 0;
  T& operator[](int i) { return data_[i]; }
  static Stack create() { return Stack(); }
  struct Node { int v; void touch() {} };
  enum class Kind { A, B };

 private:
  int size_;
};

template <typename T, int N>
Stack<T, N>::Stack(int n) : size_(n) {
  reserve<int>(n);
}

template <typename T>
void Stack<std::vector<T>, 3>::push(const T& item) {
  auto f = [this](int x) { return x; };
  data_.push_back(f(item));
  std::sort(data_.begin(), data_.end());
  auto p = new Node{1};
  throw shop::Error("x");
}

}  // namespace shop::util

int shop::Cart::total(int x) const noexcept {
  return util::sum(x);
}
shop::Cart::~Cart() = default;
bool operator==(const Cart& a, const Cart& b) { return a.id() == b.id(); }
std::ostream& operator<<(std::ostream& os, const Cart& c) { return os; }
const Item& first(const Cart& cart) { return cart.items[0]; }
Item* Cart::last() { return nullptr; }
struct Point { int x; };
using Alias = std::map<int, Item>;
auto trailing(int a) -> Point { return Point{a}; }
extern "C" { void c_api(void) { } }
"""
    outline = """
8-8 variable kLimit | constexpr int kLimit = 10
11-26 class Stack | class Stack : public Base<T>, private detail::Hidden
14-14 method Stack.Stack | Stack() : size_(0)
16-16 method Stack.~Stack | ~Stack()
17-17 method Stack.size | int size() const
19-19 method Stack.operator[] | T& operator[](int i)
20-20 method Stack.create | static Stack create()
21-21 class Stack.Node | struct Node
21-21 method Stack.Node.touch | void touch()
22-22 class Stack.Kind | enum class Kind
28-31 method Stack.Stack | Stack<T, N>::Stack(int n) : size_(n)
33-40 method Stack.push | void Stack<std::vector<T>, 3>::push(const T& item)
44-46 method shop.Cart.total | int shop::Cart::total(int x) const noexcept
47-47 method shop.Cart.~Cart | shop::Cart::~Cart() = default
48-48 function operator== | bool operator==(const Cart& a, const Cart& b)
49-49 function operator<< | std::ostream& operator<<(std::ostream& os, const Cart& c)
50-50 function first | const Item& first(const Cart& cart)
51-51 method Cart.last | Item* Cart::last()
52-52 class Point | struct Point
53-53 class Alias | using Alias = std::map<int, Item>
54-54 function trailing | auto trailing(int a) -> Point
55-55 function c_api | void c_api(void)
"""
    uses = """
11: T
12: Base T Hidden
16: clear
18: T
19: T
20: Stack Stack
28: T
29: T N
30: reserve
33: T
34: vector T T
36: push_back f
37: std sort begin end
38: Node
39: shop Error
45: util sum
48: Cart Cart id id
49: ostream ostream Cart
50: Item Cart
51: Item
53: map Item
54: Point Point
"""
    imports = """
1 vector
2 shop/stack.hpp
"""
    quoted = "shop/stack.hpp"
    broken = """
int fine() { return 1; }
class Broken { void broken( { } };
int after() { return 2; }
"""
    seen = (
        "fine",
        "after",
    )
    files = """
src/stack.cpp include/shop/stack.hpp include/shop/cart.h src/detail/hidden.hpp
"""
    targets = (
        ("src/stack.cpp", "shop/stack.hpp", "", "include/shop/stack.hpp"),
        ("src/stack.cpp", "detail/hidden.hpp", "", "src/detail/hidden.hpp"),
        ("include/shop/stack.hpp", "cart.h", "", "include/shop/cart.h"),
        ("src/stack.cpp", "vector", "", ""),
    )
    tests = ("src/stack_test.cc", "src/stack_unittest.cpp", "src/StackTest.cpp")
    code = ("src/stack.cpp", "src/contest.cpp")
    project = (
        (
            "src/cart.cpp",
            """
#include "cart.hpp"

int Cart::total() const {
  return round_cents(sum_);
}
""",
        ),
        (
            "src/cart.hpp",
            """
class Cart {
 public:
  int total() const;
  bool empty() const { return sum_ == 0; }
};
""",
        ),
        (
            "src/money.cpp",
            """
namespace shop {

int round_cents(int amount) {
  return (amount + 5) / 10 * 10;
}

std::string parse_currency(const std::string& text) {
  return text;
}

}
""",
        ),
        (
            "src/mail.cpp",
            """
void Mailer::send_receipt(const std::string& address) {
  connect(address);
}
""",
        ),
    )
    issues = (
        ("`parse_currency` fails on lower case", "src/money.cpp::parse_currency"),
        ("Cart::total is wrong since it rounds cents", "src/cart.cpp::Cart.total"),
        (
            """
Program received signal SIGSEGV
#0  0x000055 in std::string::size() const ()
#1  0x000056 in Mailer::send_receipt (this=0x0, address=...) at src/mail.cpp:2
#2  0x000057 in main () at main.cpp:9
""",
            "src/mail.cpp::Mailer.send_receipt",
        ),
    )
    faulty = """
template <typename T>
int Stack<T>::size() const {
  return 0;
}

int other() { return 0; }
"""
    shown = "Stack.size"
    answer = """
```c++
template <typename T>
int Stack<T>::size() const {
  return size_;
}
```
"""
    mended = """
template <typename T>
int Stack<T>::size() const {
  return size_;
}

int other() { return 0; }
"""
    refused = (
        (
            "syntax",
            """
```cpp
template <typename T>
int Stack<T>::size() const {
  return size_(;
}
```
""",
        ),
    )
