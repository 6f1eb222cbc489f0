"""The process of an embedded mongod: how it is started, and waited for."""

import subprocess
import sys
import time
from pathlib import Path

from pymongo.errors import PyMongoError

from agent_assets.errors import MongoUnavailable
from agent_assets.mongo.embedded.access import REPLICA_SET, Access, ensure_user, initiate

_OPTIONS = (
    "--replSet",
    REPLICA_SET,
    "--oplogSize",
    "256",
    "--wiredTigerCacheSizeGB",
    "0.25",
    "--setParameter",
    "diagnosticDataCollectionEnabled=false",
    # A replica set of one has nobody to hand over to, so a stop need not wait for that.
    "--setParameter",
    "shutdownTimeoutMillisForSignaledShutdown=100",
    # Slow operations are logged with their documents: memories must not appear in a log.
    "--slowms",
    "1000000000",
)
_KEEPER = Path(__file__).with_name("keeper.py")


def spawn(data_dir: Path, binary: Path, access: Access, users: Path) -> subprocess.Popen[bytes]:
    """Start the keeper that runs mongod until nobody holds a lock on the file `users`; the caller
    must hold one.
    """
    # An address that is a path makes mongod listen there and on no port; --nounixsocket keeps it
    # from a second socket in /tmp. A key file switches authentication on.
    where = ["--bind_ip", str(access.socket), "--nounixsocket", "--keyFile", str(access.keyfile)]
    mongod = [str(binary), "--dbpath", str(data_dir / "db"), *where, *_OPTIONS]
    command = [sys.executable, "-I", "-S", str(_KEEPER), str(users), *mongod]
    with (data_dir / "mongod.log").open("wb") as log:
        # A session of its own: Ctrl-C in the terminal ends its user first, not the database under
        # it.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
        )


def wait_until_writable(
    process: subprocess.Popen[bytes], access: Access, data_dir: Path, deadline: float
) -> int:
    """Return the process id of mongod once it takes writes from the user of its folder.

    Raises:
        MongoUnavailable: it ended, or `deadline` (of `time.monotonic`) has passed.
    """
    initiated = False
    with access.system_client() as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise MongoUnavailable(
                    f"mongod ended with exit code {process.returncode} while it started.",
                    next_step=f"read {data_dir / 'mongod.log'}; it needs OpenSSL 3, libcurl4 and "
                    "a processor with AVX.",
                )
            try:
                if not initiated:
                    initiate(client, access)
                    initiated = True
                if client.admin.command("hello").get("isWritablePrimary"):
                    ensure_user(client, access)
                    return int(client.admin.command("serverStatus")["pid"])
            except PyMongoError:
                # Not yet listening, or between two states: asked again until the deadline
                initiated = False
            time.sleep(0.05)
    raise MongoUnavailable(
        "mongod started, but does not take writes.",
        next_step=f"read {data_dir / 'mongod.log'}, then start it again.",
    )
