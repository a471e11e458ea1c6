"""TSX: TypeScript with components as elements."""

from language_tests import LanguageTests


class TestTsx(LanguageTests):
    path = "src/view.tsx"
    source = """
import React, { useState } from 'react';
import { Price } from './price';
import type { CartProps } from '../types';

export interface Props extends CartProps {
  title: string;
  onPay: (total: number) => void;
}

// Holds items until they are paid.
const CURRENCY = 'EUR';

export const CartView: React.FC<Props> = ({ title, onPay }) => {
  const [open, setOpen] = useState<boolean>(false);
  const toggle = () => setOpen(!open);

  return (
    <section className="cart">
      <Header title={title} onClick={toggle} />
      {open && (
        <forms.Field>
          <Price currency={CURRENCY} format={(n: number) => formatPrice(n)} />
        </forms.Field>
      )}
    </section>
  );
};

export default function Page(props: Props) {
  function pay() {
    props.onPay(1);
  }
  return <CartView {...props} onPay={pay} />;
}

class Boundary extends React.Component<Props> {
  state = { failed: false };

  componentDidCatch(error: Error): void {
    report(error);
  }

  render() {
    return this.state.failed ? <p>Sorry</p> : this.props.children;
  }
}
"""
    outline = """
5-8 class Props | interface Props extends CartProps
11-11 variable CURRENCY | const CURRENCY = 'EUR'
13-27 function CartView | const CartView: React.FC<Props> = ({ title, onPay }) =>
15-15 function CartView.toggle | const toggle = () =>
29-34 function Page | function Page(props: Props)
30-32 function Page.pay | function pay()
36-46 class Boundary | class Boundary extends React.Component<Props>
39-41 method Boundary.componentDidCatch | componentDidCatch(error: Error): void
43-45 method Boundary.render | render()
"""
    uses = """
5: CartProps
13: FC Props
14: useState
15: setOpen
19: Header
21: Field
22: Price formatPrice
29: Props
31: onPay
33: CartView
36: Component Props
39: Error
40: report
"""
    imports = """
1 react: React useState
2 ./price: Price
3 ../types: CartProps
"""
    quoted = "EUR"
    broken = """
export const Fine = () => <p>fine</p>;
export const Broken = ({ a ) => <p>broken</p>;
export function After() { return <Fine />; }
"""
    seen = (
        "Fine",
        "After",
    )
    files = """
src/view.tsx src/price.tsx types/index.ts types.ts
"""
    targets = (
        ("src/view.tsx", "./price", "Price", "src/price.tsx"),
        ("src/view.tsx", "../types", "CartProps", "types.ts types/index.ts"),
        ("src/view.tsx", "react", "", ""),
    )
    tests = ("src/view.test.tsx", "src/view.stories.tsx")
    code = ("src/view.tsx", "src/history.tsx")
    project = (
        (
            "src/cart.tsx",
            """
import { Price } from './price';

export const CartView = ({ items }: Props) => (
  <ul>{items.map((item) => <Price key={item.id} value={item.price} />)}</ul>
);
""",
        ),
        (
            "src/price.tsx",
            """
export function Price({ value }: PriceProps) {
  return <b>{formatCurrency(value)}</b>;
}

export const formatCurrency = (value: number): string => value.toFixed(2);
""",
        ),
        (
            "src/mail.tsx",
            """
export function SendReceipt({ address }: MailProps) {
  return <a href={address}>receipt</a>;
}
""",
        ),
    )
    issues = (
        ("`formatCurrency` rounds wrongly", "src/price.tsx::formatCurrency"),
        ("The CartView list of items flickers", "src/cart.tsx::CartView"),
        (
            """
Error in rendering
SendReceipt@http://localhost:3000/src/mail.tsx?t=17:2:10
renderWithHooks@http://localhost:3000/deps/react.js:1:1
""",
            "src/mail.tsx::SendReceipt",
        ),
    )
    faulty = """
export const Price = ({ value }: Props) => {
  return <b>{value}</b>;
};
"""
    shown = "Price"
    answer = """
```tsx
const Price = ({ value }: Props) => {
  return <b>{formatCurrency(value)}</b>;
};
```
"""
    mended = """
const Price = ({ value }: Props) => {
  return <b>{formatCurrency(value)}</b>;
};
"""
    refused = (
        (
            "syntax",
            """
```tsx
export const Price = ({ value }: Props) => {
  return <b>{value</b>;
};
```
""",
        ),
    )
