"""The child process that fetches one file from the model hub and goes on where an earlier run stopped.

    python -m patchwright_engine.model.hub_fetch REPO REVISION FILE FOLDER

Prints `PATCHWRIGHT {"path": …, "sha256": …}` at the end. Addresses, log-in, proxies and retries are huggingface_hub's;
only the partial file is ours, because since 1.18 the library begins every download anew (huggingface_hub issue 4196).
Invariant: bytes are only ever appended to a partial file of the same content hash.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

_SHA256_DIGITS = 64


def main(repo: str, revision: str, file: str, folder: Path) -> int:
    """Fetch the file; errors end the process with huggingface_hub's own traceback, which the parent reads."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(repo, file, revision=revision)
    found = get_hf_file_metadata(url)
    etag = (found.etag or "").strip('"')
    headers = build_hf_headers()
    if urlsplit(found.location).netloc != urlsplit(url).netloc:
        # The file lies on another host, behind a signed address; the user's token is none of its business.
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    partial = folder / f"{file}.{etag[:16]}.incomplete"
    partial.touch()
    with partial.open("r+b") as out:
        size = out.seek(0, os.SEEK_END)
        http_get(found.location, out, resume_size=size, headers=headers, expected_size=found.size)
    partial.replace(folder / file)
    answer = {"path": str(folder / file), "sha256": etag if len(etag) == _SHA256_DIGITS else ""}
    sys.stdout.write(f"PATCHWRIGHT {json.dumps(answer)}\n")
    return 0


def _end_with_parent() -> None:
    """Two processes appending to one file would spoil it, so a fetcher whose parent died stops."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    # Ctrl-C reaches the whole group; the parent decides, and ends this process when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    raise SystemExit(main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])))
