"""`python -m ringfence` is the command `ringfence`."""

import sys

from .cli import main

sys.exit(main())
