"""Where the servers are that guests talk to."""

import sys
from pathlib import Path

# `security.http_server` is shared with the attacks.
sys.path.insert(0, str(Path(__file__).parents[1]))
