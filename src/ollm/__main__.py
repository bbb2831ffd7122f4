"""`python -m ollm` is the `ollm` command."""

from ollm.cli import main

main()
