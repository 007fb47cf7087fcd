"""`python -m explainer` is the command line."""

from explainer.cli import main

main()
