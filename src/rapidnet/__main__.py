"""python -m rapidnet: the same as the rapidnet command."""

import sys

from rapidnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
