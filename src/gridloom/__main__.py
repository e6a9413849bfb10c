"""`python -m gridloom`: the same as the `gridloom` command."""

from gridloom.cli import main

main()
