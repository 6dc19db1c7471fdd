"""Moving a hub from one database to another; the hub must stand still."""

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit

from scimhub import clock
from scimhub.cli.progress import Watch
from scimhub.directory.errors import StoreUnusable
from scimhub.sqlstore import copying
from scimhub.sqlstore.store import POSTGRES_SCHEMES


def move(source: Path, target: str, watch: Watch) -> dict[str, int]:
    """Copy the SQLite hub into the empty PostgreSQL database; the rows of each table. Raises StoreUnusable."""
    if urlsplit(target).scheme not in POSTGRES_SCHEMES:
        raise StoreUnusable(
            "The target must be the URL of a PostgreSQL database, such as postgresql://user:password@host/database."
        )

    def tell(done: int, total: int) -> None:
        watch("rows", done, total)

    return asyncio.run(copying.copy_database(source, target, now=clock.now_text(), random=os.urandom, progress=tell))
