"""TypeScript: types, interfaces, decorators, overloads, namespaces."""

from language_tests import LanguageTests


class TestTypescript(LanguageTests):
    path = "src/store.ts"
    source = """
import type { Item } from './types';
import fs = require('fs');
import { connect, type Options as Opts } from '@app/database';

/** Holds items until they are paid. */
export interface Store<T> extends Base<T> {
  readonly size: number;
  get(id: string): T | undefined;
}

export type Id = string | number;
export enum Color { Red = 'red', Blue = 'blue' }
declare function external(a: number): void;

namespace Geometry {
  export function area(width: number): number { return width; }
}

function format(a: string): string;
function format(a: any): any { return a; }

@Injectable()
@Register('repo')
export abstract class Repo<T extends Item> implements Store<T> {
  private items: Map<string, T> = new Map();

  constructor(private readonly db: Database) { super(); }

  abstract find(id: Id): Promise<T>;

  @Log()
  get(id: string): T | undefined {
    return this.items.get(id)!;
  }

  handler = async (event: Event): Promise<void> => {
    emit<string>(event as Click);
  };

  static of<T>(): Repo<T> { return new Sub<T>(); }
}

export const pick = <T,>(a: T): Color => Color.Red;

export default function main(
  options: Opts,
): void {
  format('x') satisfies Id;
}

abstract class Bare {}
"""
    outline = """
6-9 class Store | interface Store<T> extends Base<T>
8-8 method Store.get | get(id: string): T | undefined
11-11 class Id | type Id = string | number
12-12 class Color | enum Color
13-13 function external | function external(a: number): void
16-16 function Geometry.area | function area(width: number): number
20-20 function format | function format(a: any): any
22-41 class Repo | abstract class Repo<T extends Item> implements Store<T>
27-27 method Repo.constructor | constructor(private readonly db: Database)
29-29 method Repo.find | abstract find(id: Id): Promise<T>
31-34 method Repo.get | get(id: string): T | undefined
36-38 method Repo.handler | handler = async (event: Event): Promise<void> =>
40-40 method Repo.of | static of<T>(): Repo<T>
43-43 function pick | const pick = <T,>(a: T): Color =>
45-49 function main | function main(options: Opts): void
51-51 class Bare | abstract class Bare
"""
    uses = """
6: T Base T
8: T
22: Injectable
23: Register
24: T Item Store T
25: Map T Map
27: Database
29: Id Promise T
31: Log
32: T
33: get
36: Event Promise
37: emit Click
40: T Repo T Sub T
43: T T Color
46: Opts
48: format Id
"""
    imports = """
1 ./types: Item
2 fs
3 @app/database: connect Options
"""
    quoted = "repo"
    broken = """
export function fine(): number { return 1; }
interface Broken { a: ; }
class After { run(): void {} }
"""
    seen = (
        "fine",
        "After",
        "After.run",
    )
    files = """
src/store.ts src/types.ts src/types.d.ts src/deep/index.ts app/database/index.ts app/database/pool.ts src/view.tsx
"""
    targets = (
        ("src/store.ts", "./types", "Item", "src/types.ts src/types.d.ts"),
        ("src/store.ts", "./deep", "", "src/deep/index.ts"),
        ("src/deep/index.ts", "../view", "", "src/view.tsx"),
        ("src/store.ts", "@app/database/pool", "", "app/database/pool.ts"),
        ("src/store.ts", "fs", "", ""),
    )
    tests = ("src/store.test.ts", "src/store.spec.mts", "src/__mocks__/store.ts")
    code = ("src/store.ts", "src/attest.ts")
    project = (
        (
            "src/cart.ts",
            """
import { Money } from './money';

export class Cart {
  total(): Money {
    return this.items.reduce((sum, item) => sum.plus(item.price), Money.zero());
  }
}
""",
        ),
        (
            "src/money.ts",
            """
export class Money {
  constructor(private readonly cents: number) {}

  plus(other: Money): Money {
    return new Money(this.cents + other.cents);
  }

  static parseCurrency(text: string): Money {
    return new Money(Number(text));
  }
}
""",
        ),
        (
            "src/mail.ts",
            """
export const sendReceipt = async (address: string): Promise<void> => {
  await connect(address);
};
""",
        ),
        (
            "src/money.spec.ts",
            """
describe('parseCurrency', () => it('reads lower case', () => Money.parseCurrency('1')));
""",
        ),
    )
    issues = (
        ("`Money.parseCurrency` fails on lower case", "src/money.ts::Money.parseCurrency"),
        ("Cart#total is wrong for an empty cart", "src/cart.ts::Cart.total"),
        (
            """
The receipt is not sent since the last release.
src/mail.ts:2:9 - error TS2304: Cannot find name in this file
""",
            "src/mail.ts::sendReceipt",
        ),
    )
    faulty = """
export class Money {
  plus(other: Money): Money {
    return new Money(this.cents - other.cents);
  }
}
"""
    shown = "Money.plus"
    answer = """
```typescript
export class Money {
  plus(other: Money): Money {
    return new Money(this.cents + other.cents);
  }
}
```
"""
    mended = """
export class Money {
  plus(other: Money): Money {
    return new Money(this.cents + other.cents);
  }
}
"""
    refused = (
        (
            "syntax",
            """
```ts
plus(other: Money): Money {
  return new Money(this.cents + );
}
```
""",
        ),
    )
