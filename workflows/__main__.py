"""`python -m workflows` in a checkout."""

from .cli import main

main()
