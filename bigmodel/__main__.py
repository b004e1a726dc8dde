"""``python -m bigmodel``."""

import sys

from bigmodel.cli import main

sys.stdout.reconfigure(errors="backslashreplace")  # a path may hold bytes that are no text
sys.exit(main())
