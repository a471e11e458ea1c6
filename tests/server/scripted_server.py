"""The real language server on stdio, with scripted engine hosts behind it. Run: python scripted_server.py"""

import logging
import os
import sys
from pathlib import Path

from patchwright_server.app import run_stdio

HOST = Path(__file__).with_name("scripted_host.py")

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("pygls").setLevel(logging.WARNING)
    os._exit(run_stdio(lambda root: (sys.executable, str(HOST), "--root", str(root))))
