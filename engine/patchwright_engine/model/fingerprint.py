"""What tells two large files apart without reading all of them: their size and both ends.

Hashing every byte of a model takes longer than most answers; files that differ differ here, since a GGUF begins with
its metadata and ends with tensors. Not a defence against a file that was made to deceive: `models verify` is.
"""

import hashlib
import os
from pathlib import Path

SAMPLE_BYTES = 1 << 20


def sampled_digest(path: Path) -> tuple[int, str]:
    """Size in bytes, and sha256 of the first and the last mebibyte.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(file.read(SAMPLE_BYTES))
        file.seek(max(0, size - SAMPLE_BYTES))
        digest.update(file.read(SAMPLE_BYTES))
    return size, digest.hexdigest()
