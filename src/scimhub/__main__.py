"""Lets ``python -m scimhub`` be the ``scimhub`` command."""

from scimhub.cli.main import run

run()
