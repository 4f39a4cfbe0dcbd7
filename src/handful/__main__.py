"""`python -m handful` is the command line."""

import sys

from handful.cli.main import main

sys.exit(main())
