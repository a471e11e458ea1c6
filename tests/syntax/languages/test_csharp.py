"""C#: properties, indexers, operators, records, local functions, namespaces."""

from language_tests import LanguageTests


class TestCsharp(LanguageTests):
    path = "src/Cart.cs"
    source = """
using System;
using System.Collections.Generic;
using Money = Shop.Money.Round;
using static System.Math;

namespace Shop.Cart
{
    /// <summary>Holds items until they are paid.</summary>
    [Serializable]
    public sealed class Cart<T> : Base, IStore<T> where T : Item
    {
        public const int Limit = 10;
        private static readonly List<T> Cache = new List<T>();
        private int _count, other;

        public Cart(List<T> items) : base(items) { _items = items; }

        public int Count { get; private set; }
        public int Total => Items.Sum(i => i.Price());
        public T this[int i] { get { return _items[i]; } }

        [Pure]
        public async Task<int> SumAsync(int a, params string[] names)
        {
            int Local(int x) { return x; }
            await Load<int>(names);
            _cache?.Clear();
            throw new CartException(nameof(a));
        }

        public static Cart<T> operator +(Cart<T> a, Cart<T> b) => a;
        void IStore<T>.Put() { Money.Half("cent"); }

        struct Node { public int V; }
        enum Kind { A, B }
        delegate void Handler(object sender);
    }

    public interface IStore<T>
    {
        T Get(string id);
    }

    public record Point(int X, int Y)
    {
        public double Norm() => Sqrt(X);
    }

    static class Extensions
    {
        public static int Twice(this int x) => x * 2;
    }
}
"""
    outline = """
9-37 class Cart | public sealed class Cart<T> : Base, IStore<T> where T : Item
12-12 variable Cart.Limit | public const int Limit = 10
13-13 variable Cart.Cache | private static readonly List<T> Cache = new List<T>()
16-16 method Cart.Cart | public Cart(List<T> items) : base(items)
18-18 method Cart.Count | public int Count
19-19 method Cart.Total | public int Total
20-20 method Cart.this | public T this[int i]
22-29 method Cart.SumAsync | public async Task<int> SumAsync(int a, params string[] names)
25-25 function Cart.SumAsync.Local | int Local(int x)
31-31 method Cart.+ | public static Cart<T> operator +(Cart<T> a, Cart<T> b)
32-32 method Cart.Put | void IStore<T>.Put()
34-34 class Cart.Node | struct Node
35-35 class Cart.Kind | enum Kind
36-36 class Cart.Handler | delegate void Handler(object sender)
39-42 class IStore | public interface IStore<T>
41-41 method IStore.Get | T Get(string id)
44-47 class Point | public record Point(int X, int Y)
46-46 method Point.Norm | public double Norm()
49-52 class Extensions | static class Extensions
51-51 method Extensions.Twice | public static int Twice(this int x)
"""
    uses = """
9: Serializable
10: Base IStore T Item
13: List T List T
16: List T
19: Items Sum Price
20: T
22: Pure
23: Task
26: Load
27: Clear
28: CartException nameof
31: Cart T Cart T Cart T
32: IStore T Money Half
41: T
46: Sqrt
"""
    imports = """
1 System
2 System.Collections.Generic
3 Shop.Money.Round
4 System.Math
"""
    quoted = "cent"
    broken = """
class Broken
{
    int Fine() { return 1; }
    int Wrong( { return 2; }
    int After() { return 3; }
}
"""
    seen = (
        "Broken",
        "Broken.Fine",
    )
    files = """
src/Shop/Cart.cs src/Shop/Models/Item.cs src/Shop/Models/Price.cs src/Shop.Web/Views/Page.cs
test/Shop.Tests/CartTests.cs Text/Parser.cs
"""
    targets = (
        ("src/Shop/Cart.cs", "Shop.Models", "", "src/Shop/Models/Item.cs src/Shop/Models/Price.cs"),
        ("src/Shop/Cart.cs", "Acme.Shop.Models", "", "src/Shop/Models/Item.cs src/Shop/Models/Price.cs"),
        ("test/Shop.Tests/CartTests.cs", "Shop.Web.Views", "", "src/Shop.Web/Views/Page.cs"),
        ("test/Shop.Tests/CartTests.cs", "Shop", "", "src/Shop/Cart.cs"),
        ("src/Shop/Cart.cs", "Shop.Models.Price", "", "src/Shop/Models/Price.cs"),
        ("src/Shop/Cart.cs", "Shop.Tests", "", ""),
        ("src/Shop/Cart.cs", "System.Text", "", ""),
        ("src/Shop/Cart.cs", "Other.Things", "", ""),
    )
    tests = ("test/Shop.Tests/Cart.cs", "src/CartTests.cs", "Shop.UnitTests/A.cs")
    code = ("src/Cart.cs", "src/Latest.cs")
    project = (
        (
            "src/Cart.cs",
            """
namespace Shop;

public class Cart
{
    public int Total => Money.Round(_items.Sum());
}
""",
        ),
        (
            "src/Money.cs",
            """
namespace Shop;

public static class Money
{
    public static int Round(int amount)
    {
        return (amount + 5) / 10 * 10;
    }

    public static string ParseCurrency(string text)
    {
        return text.Trim();
    }
}
""",
        ),
        (
            "src/Mailer.cs",
            """
namespace Shop;

public class Mailer
{
    public async Task SendReceipt(string address)
    {
        await Connect(address);
    }
}
""",
        ),
        (
            "test/Shop.Tests/CartTests.cs",
            """
public class CartTests
{
    [Fact] public void Total() { new Cart().Total; }
}
""",
        ),
    )
    issues = (
        ("`Money.ParseCurrency` fails on lower case", "src/Money.cs::Money.ParseCurrency"),
        ("Cart.Total is wrong for an empty cart", "src/Cart.cs::Cart.Total"),
        (
            """
Unhandled exception. System.Net.Sockets.SocketException (111): Connection refused
   at System.Net.Sockets.Socket.Connect(EndPoint remote)
   at Shop.Mailer.<SendReceipt>d__5.MoveNext() in /home/me/shop/src/Mailer.cs:line 7
   at Shop.Program.Main(String[] args) in /home/me/shop/Program.cs:line 9
""",
            "src/Mailer.cs::Mailer.SendReceipt",
        ),
    )
    faulty = """
class Cart
{
    public int Total()
    {
        return 0;
    }

    public int Size() => 0;
}
"""
    shown = "Cart.Total"
    answer = """
```csharp
public int Total()
{
    return _items.Sum(item => item.Price);
}
```
"""
    mended = """
class Cart
{
    public int Total()
    {
        return _items.Sum(item => item.Price);
    }

    public int Size() => 0;
}
"""
    refused = (
        (
            "syntax",
            """
```cs
public int Total()
{
    return _items.Sum(item => item.Price;
}
```
""",
        ),
    )
