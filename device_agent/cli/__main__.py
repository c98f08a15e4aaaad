"""`python -m device_agent.cli`: the command line where no console script is installed."""

from __future__ import annotations

import sys

from device_agent.cli import main

sys.exit(main())
