"""`python -m patchwright_engine`: the same as `patchwright`."""

import sys

from patchwright_engine.cli import main

sys.exit(main())
