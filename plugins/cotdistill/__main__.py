"""`python -m cotdistill` is the command line."""

from cotdistill.cli.main import main

raise SystemExit(main())
