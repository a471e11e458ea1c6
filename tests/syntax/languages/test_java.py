"""Java: nested types, constructors, annotations, packages as folders."""

from language_tests import LanguageTests


class TestJava(LanguageTests):
    path = "src/main/java/com/shop/Cart.java"
    source = """
package com.shop;

import java.util.List;
import com.shop.money.*;
import static com.shop.util.Strings.join;

/** Holds items until they are paid. */
@Entity
@Table(name = "carts")
public final class Cart<T extends Item> extends Base implements Store<T> {
    public static final int LIMIT = 10, OTHER = 2;
    private final List<T> items;

    static { init(); }

    public Cart(List<T> items) {
        super();
        this.items = items;
    }

    @Override
    public int total(int start,
                     String... names) throws CartException, IOException {
        return items.stream().map(Item::price).reduce(0, (x, y) -> sum(x, y));
    }

    static <R> R of(Class<R> kind) { return new Cart<>(kind); }
    abstract void nothing();

    interface Reader<T> {
        T get(String id);
        default void put() {}
    }

    enum Color {
        RED("r") { void paint() {} },
        BLUE;

        String hex() { return Strings.hex(this); }
    }

    record Point(int x, int y) {
        Point { check(x); }
        double norm() { return Math.sqrt(x); }
    }

    @interface Mark { String value() default "x"; }

    private static class Inner {
        void run() {
            Runnable r = new Runnable() { public void run() { go(); } };
        }
    }
}
"""
    outline = """
8-54 class Cart | public final class Cart<T extends Item> extends Base implements Store<T>
11-11 variable Cart.LIMIT | public static final int LIMIT = 10, OTHER = 2
11-11 variable Cart.OTHER | public static final int LIMIT = 10, OTHER = 2
16-19 method Cart.Cart | public Cart(List<T> items)
21-25 method Cart.total | public int total(int start, String... names) throws CartException, IOException
27-27 method Cart.of | static <R> R of(Class<R> kind)
28-28 method Cart.nothing | abstract void nothing()
30-33 class Cart.Reader | interface Reader<T>
31-31 method Cart.Reader.get | T get(String id)
32-32 method Cart.Reader.put | default void put()
35-40 class Cart.Color | enum Color
36-36 method Cart.Color.RED.paint | void paint()
39-39 method Cart.Color.hex | String hex()
42-45 class Cart.Point | record Point(int x, int y)
43-43 method Cart.Point.Point | Point
44-44 method Cart.Point.norm | double norm()
47-47 class Cart.Mark | @interface Mark
49-53 class Cart.Inner | private static class Inner
50-52 method Cart.Inner.run | void run()
51-51 method Cart.Inner.run.run | public void run()
"""
    uses = """
8: Entity
9: Table
10: T Item Base Store T
12: List T
14: init
16: List T
21: Override
23: String CartException IOException
24: stream map price reduce sum
27: R R Class R Cart
30: T
31: T String
39: String Strings hex
43: check
44: Math sqrt
47: String
51: Runnable Runnable go
"""
    imports = """
3 java.util.List
4 com.shop.money: *
5 com.shop.util.Strings.join
"""
    quoted = "carts"
    broken = """
class Broken {
    int fine() { return 1; }
    int broken( { return 2; }
    int after() { return 3; }
}
"""
    seen = (
        "Broken",
        "Broken.fine",
        "Broken.after",
    )
    files = """
src/main/java/com/shop/Cart.java src/main/java/com/shop/money/Round.java src/main/java/com/shop/money/Currency.java
src/main/java/com/shop/util/Strings.java api/src/main/java/com/shop/api/Api.java src/test/java/com/shop/CartTest.java
"""
    targets = (
        ("src/main/java/com/shop/Cart.java", "com.shop.util.Strings", "", "src/main/java/com/shop/util/Strings.java"),
        (
            "src/main/java/com/shop/Cart.java",
            "com.shop.util.Strings.join",
            "",
            "src/main/java/com/shop/util/Strings.java",
        ),
        (
            "src/main/java/com/shop/Cart.java",
            "com.shop.money",
            "*",
            "src/main/java/com/shop/money/Round.java src/main/java/com/shop/money/Currency.java",
        ),
        ("api/src/main/java/com/shop/api/Api.java", "com.shop.Cart", "", "src/main/java/com/shop/Cart.java"),
        ("src/main/java/com/shop/Cart.java", "java.util.List", "", ""),
    )
    tests = (
        "src/test/java/com/shop/Helper.java",
        "src/main/java/com/shop/CartTest.java",
        "api/src/androidTest/java/A.java",
    )
    code = ("src/main/java/com/shop/Cart.java", "src/main/java/com/shop/Attest.java")
    project = (
        (
            "src/main/java/com/shop/Cart.java",
            """
package com.shop;

import com.shop.money.Money;

public class Cart {
    public Money total() {
        return items.stream().reduce(Money.ZERO, Money::plus);
    }
}
""",
        ),
        (
            "src/main/java/com/shop/money/Money.java",
            """
package com.shop.money;

public class Money {
    public Money plus(Money other) {
        return new Money(cents + other.cents);
    }

    public static Money parseCurrency(String text) {
        return new Money(Long.parseLong(text));
    }
}
""",
        ),
        (
            "src/main/java/com/shop/mail/Mailer.java",
            """
package com.shop.mail;

public class Mailer {
    public void sendReceipt(String address) {
        connect(address);
    }
}
""",
        ),
        (
            "src/main/java/com/other/Mailer.java",
            """
package com.other;

public class Mailer {
    public void sendReceipt(String address) {
    }
}
""",
        ),
        (
            "src/test/java/com/shop/CartTest.java",
            """
package com.shop;

class CartTest {
    @Test void total() { new Cart().total(); }
}
""",
        ),
    )
    issues = (
        ("`Money.parseCurrency` fails on lower case", "src/main/java/com/shop/money/Money.java::Money.parseCurrency"),
        ("Cart#total is wrong for an empty cart", "src/main/java/com/shop/Cart.java::Cart.total"),
        (
            """
Exception in thread "main" java.lang.NullPointerException: no host
	at java.base/java.util.Objects.requireNonNull(Objects.java:233)
	at com.shop.mail.Mailer.sendReceipt(Mailer.java:5)
	at com.shop.App.main(App.java:9)
""",
            "src/main/java/com/shop/mail/Mailer.java::Mailer.sendReceipt",
        ),
    )
    faulty = """
class Cart {
    @Override
    public int total() {
        return 0;
    }

    int size() { return 0; }
}
"""
    shown = "Cart.total"
    answer = """
```java
@Override
public int total() {
    return items.stream().mapToInt(Item::price).sum();
}
```
"""
    mended = """
class Cart {
    @Override
    public int total() {
        return items.stream().mapToInt(Item::price).sum();
    }

    int size() { return 0; }
}
"""
    refused = (
        (
            "syntax",
            """
```java
public int total() {
    return items.stream(.sum();
}
```
""",
        ),
    )
