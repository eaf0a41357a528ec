"""The service's command line, as `python -m enforcement_api`."""

from enforcement_api.cli import main

main()
