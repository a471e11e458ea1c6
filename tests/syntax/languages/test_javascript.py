"""JavaScript: modules of both kinds, classes, functions as values, JSX."""

from language_tests import LanguageTests


class TestJavascript(LanguageTests):
    path = "src/cart.js"
    source = """
import React, { useState as state, memo } from 'react';
import * as paths from "./paths.js";
import './side-effect';
export { helper } from '../lib/helper';
export * from './all';
const { readFile } = require('fs');
const util = require('./util');

export const LIMIT = 10, OTHER = 2;
let cache = new Map();

/** Holds items until they are paid. */
export default class Cart extends Base {
  static count = 0;
  #items = [];
  onClick = (event) => { this.add(event.item); };

  constructor(items) {
    super();
    this.#items = items;
  }

  get total() {
    return this.#items.reduce(sum, 0);
  }

  async *load(url) {
    const { data } = await fetchJson(url);
    yield paths.join(data);
  }

  static create() { return new Cart([]); }
}

function sum(a, b = LIMIT) {
  function inner() { return a; }
  return inner() + b;
}

export const double = (x) => x * 2;
const named = function named() { return double(1); };
module.exports.render = function (view) {
  return `${double(view)}`;
};
exports.lazy = async () => import('./lazy.js');
Cart.prototype.clear = function () { util.log(this); };

const handlers = {
  onOpen() { return open(); },
  onClose: () => close(),
};

export function* ids() { yield 1; }
const element = (
  <Widget size={LIMIT}>
    <forms.Item/>
  </Widget>
);
throw new errors.CartError('no');
"""
    outline = """
9-9 variable LIMIT | const LIMIT = 10, OTHER = 2
9-9 variable OTHER | const LIMIT = 10, OTHER = 2
10-10 variable cache | let cache = new Map()
13-33 class Cart | class Cart extends Base
16-16 method Cart.onClick | onClick = (event) =>
18-21 method Cart.constructor | constructor(items)
23-25 method Cart.total | get total()
27-30 method Cart.load | async *load(url)
32-32 method Cart.create | static create()
35-38 function sum | function sum(a, b = LIMIT)
36-36 function sum.inner | function inner()
40-40 function double | const double = (x) =>
41-41 function named | const named = function named()
42-44 function render | module.exports.render = function (view)
45-45 function lazy | exports.lazy = async () =>
46-46 function Cart.clear | Cart.prototype.clear = function ()
48-51 variable handlers | const handlers = {
49-49 function handlers.onOpen | onOpen()
50-50 function handlers.onClose | onClose: () =>
53-53 function ids | function* ids()
54-58 variable element | const element = (
"""
    uses = """
6: require
7: require
10: Map
13: Base
16: add
24: reduce
28: fetchJson
29: join
32: Cart
37: inner
41: double
43: double
46: log
49: open
50: close
55: Widget
56: Item
59: CartError
"""
    imports = """
1 react: React useState memo
2 ./paths.js: *
3 ./side-effect
4 ../lib/helper: helper
5 ./all: *
6 fs
7 ./util
45 ./lazy.js
"""
    quoted = "./side-effect"
    broken = """
export function fine() { return 1; }
class Broken {
  method( {
    return 2
  }
}
function after() {}
"""
    seen = (
        "fine",
        "after",
    )
    files = """
src/cart.js src/paths.js src/util/index.js src/model.ts src/model.test.ts lib/helper.mjs packages/ui/src/button.jsx
packages/ui/src/index.js packages/app/main.js src/widgets/index.tsx src/widgets/list.tsx index.js index/index.js
"""
    targets = (
        ("src/cart.js", "./paths.js", "join", "src/paths.js"),
        ("src/cart.js", "./util", "", "src/util/index.js"),
        ("src/cart.js", "../lib/helper", "", "lib/helper.mjs"),
        ("src/widgets/list.tsx", ".", "", "src/widgets/index.tsx"),
        ("src/cart.js", "./model.js", "", "src/model.ts"),
        ("src/cart.js", "@/widgets/list", "", "src/widgets/list.tsx"),
        ("src/cart.js", "@shop/ui/button", "", "packages/ui/src/button.jsx"),
        ("packages/app/main.js", "@shop/ui", "", "packages/ui/src/index.js"),
        ("src/cart.js", "react", "", ""),
        ("src/cart.js", "./missing", "", ""),
        ("src/cart.js", "./widgets/index", "", "src/widgets/index.tsx"),
        ("src/cart.js", "shop/bin/list", "", ""),
        ("src/cart.js", "..", "", "index.js"),
        ("index/index.js", "../src/cart", "", "src/cart.js"),
    )
    tests = ("src/cart.test.js", "src/__tests__/cart.js", "src/cart.spec.mjs", "e2e/cart.js")
    code = ("src/contest.js", "src/latest.js", "src/spectrum.jsx")
    project = (
        (
            "src/cart.js",
            """
import { round } from './money.js';

export class Cart {
  total() {
    return round(this.items.reduce((sum, item) => sum + item.price, 0));
  }
}
""",
        ),
        (
            "src/money.js",
            """
export function round(amount) {
  return Math.round(amount * 100) / 100;
}

export const parseCurrency = (text) => text.trim().toUpperCase();
""",
        ),
        (
            "src/mail.js",
            """
export async function sendReceipt(address) {
  return connect(address);
}
""",
        ),
        (
            "src/cart.test.js",
            """
import { Cart } from './cart.js';

test('total of a cart', () => expect(new Cart().total()).toBe(0));
""",
        ),
        (
            "package.json",
            """
{"name": "shop"}
""",
        ),
    )
    issues = (
        ("`parseCurrency` fails on lower case", "src/money.js::parseCurrency"),
        ("Cart.total is wrong for an empty cart", "src/cart.js::Cart.total"),
        (
            """
It crashes:
TypeError: Cannot read properties of undefined
    at sendReceipt (/home/me/shop/src/mail.js:2:10)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)
    at async main (file:///home/me/shop/run.js:3:1)
""",
            "src/mail.js::sendReceipt",
        ),
    )
    faulty = """
class Cart {
  total() {
    return this.items.length;
  }

  size() { return 0; }
}
"""
    shown = "Cart.total"
    answer = """
The price was left out:
```js
total() {
  return this.items.reduce((sum, item) => sum + item.price, 0);
}
```
"""
    mended = """
class Cart {
  total() {
    return this.items.reduce((sum, item) => sum + item.price, 0);
  }

  size() { return 0; }
}
"""
    refused = (
        (
            "syntax",
            """
```javascript
total() {
  return this.items.reduce((sum, item) => sum + item.price;
}
```
""",
        ),
    )
