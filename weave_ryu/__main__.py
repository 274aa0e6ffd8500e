"""``python -m weave_ryu`` is the same as ``weave-ryu``."""

import sys

from weave_ryu.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
