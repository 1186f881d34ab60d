"""`python -m scorax.cli` is the `scorax` command."""

import sys

from scorax.cli import main

sys.exit(main())
