"""Read the lines that a runner of ours sealed, and count those that something else wrote.

Each record bears a seal made with a key that its writer alone knows and that changes with every record: see
`runners/patchwright_report.py`, which writes them in Python, and `runners/patchwright_node.mjs`.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sealing:
    """One way to seal: Node's cryptography does not know the keyed hash that Python brings along."""

    seal: Callable[[bytes, bytes], str]
    """(key, record) → 32 hexadecimal digits."""
    next_key: Callable[[bytes], bytes]


PYTHON = Sealing(
    lambda key, record: hashlib.blake2b(record, key=key, digest_size=16).hexdigest(),
    lambda key: hashlib.blake2b(key, digest_size=32).digest(),
)
NODE = Sealing(
    lambda key, record: hmac.digest(key, record, "sha256").hex()[:32],
    lambda key: hashlib.sha256(key).digest(),
)


def unsealed(content: bytes, key: bytes, sealing: Sealing = PYTHON) -> tuple[list[bytes], int]:
    """The records that our runner wrote, in order, and how many lines something else did."""
    records: list[bytes] = []
    foreign = 0
    for line in content.split(b"\n")[:-1]:  # Behind the last line feed is what was cut off in the middle, or nothing.
        seal, _, record = line.partition(b" ")
        if hmac.compare_digest(seal, sealing.seal(key, record).encode()):
            records.append(record)
            key = sealing.next_key(key)
        else:
            foreign += 1
    return records, foreign
