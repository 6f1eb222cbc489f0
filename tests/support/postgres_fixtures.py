"""A PostgreSQL server for tests, where its programs are installed. It installs nothing and leaves
nothing behind.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as db

from agent_assets.free_ports import free_port


def _programs() -> Path | None:
    initdb = shutil.which("initdb")
    places = [Path(initdb).parent] if initdb else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((place for place in reversed(places) if (place / "initdb").exists()), None)


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """URL of an empty database."""
    name = f"test_{uuid.uuid4().hex}"
    engine = db.create_engine(f"{postgres_server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(db.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{postgres_server}/{name}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a server, without a database."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server programs (apt-get install postgresql)")
    user = (
        "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    )  # it refuses to run as root
    folder, port = Path(tempfile.mkdtemp(prefix="postgres-")), free_port()
    if os.getuid() == 0:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(
            command,
            check=True,
            user=user if os.getuid() == 0 else None,
            cwd=folder,
            capture_output=True,
        )

    run("initdb", "-A", "trust", "-U", "dagster")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql+psycopg2://dagster@127.0.0.1:{port}"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)
