"""Access to an embedded mongod: it listens on a socket in its private folder, on no port, and asks
for a password.

Members of a replica set authenticate to each other with `keyfile`. With it we become `__system` and
create the one user, whose password is in `password`. Both are files of mode 600 in the data folder.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from agent_assets.errors import MongoUnavailable
from agent_assets.mongo.retry import Document
from agent_assets.privacy import private_folder, secret_file, socket_folder

REPLICA_SET = "rs0"
USER = "agent_assets"
_ALREADY_INITIALIZED, _UNKNOWN_USER, _AUTHENTICATION_FAILED = 23, 11, 18


@dataclass(frozen=True)
class Access:
    """How to reach the mongod of one folder."""

    socket: Path
    keyfile: Path
    password: str = field(repr=False)

    @classmethod
    def of(cls, data_dir: Path) -> Self:
        """The access of a folder; secrets that are not there yet are made.

        Raises:
            ConfigError: a secret is open to others, or there is no place for the socket.
        """
        private_folder(data_dir)
        keyfile = data_dir / "keyfile"
        secret_file(keyfile)
        return cls(
            socket_folder(data_dir) / "mongod.sock", keyfile, secret_file(data_dir / "password")
        )

    @property
    def uri(self) -> str:
        """URI of the replica set of one, with user and password: never for a command line, a log or
        a message.
        """
        host = quote(str(self.socket), safe="")
        return f"mongodb://{USER}:{self.password}@{host}/?replicaSet={REPLICA_SET}"

    def client(self) -> MongoClient[Document]:
        """A client of the one mongod behind the socket, whether it is a replica set already or
        not.
        """
        return self._direct(USER, self.password, "admin")

    def system_client(self) -> MongoClient[Document]:
        """As the members of the replica set, who may do everything: for what is done before there
        is a user.
        """
        return self._direct("__system", secret_file(self.keyfile), "local")

    def _direct(self, user: str, password: str, source: str) -> MongoClient[Document]:
        return MongoClient(
            f"mongodb://{quote(str(self.socket), safe='')}/",
            directConnection=True,
            username=user,
            password=password,
            authSource=source,
            serverSelectionTimeoutMS=1000,
            socketTimeoutMS=10_000,
        )


def initiate(client: MongoClient[Document], access: Access) -> None:
    """Make the replica set, or tell an existing one where it lives now: its folder was moved, or an
    earlier version had it on a port.
    """
    member = {"_id": 0, "host": str(access.socket)}
    try:
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
    except OperationFailure as error:
        if error.code != _ALREADY_INITIALIZED:
            raise
        config = client.admin.command("replSetGetConfig")["config"]
        if config["members"][0]["host"] != member["host"]:
            config["members"][0]["host"] = member["host"]
            client.admin.command(
                "replSetReconfig", {**config, "version": config["version"] + 1}, force=True
            )


def ensure_user(system: MongoClient[Document], access: Access) -> None:
    """Make the user of this folder, or give it the password that is in the folder.

    Raises:
        MongoUnavailable: it still cannot log in.
    """
    if _logs_in(access):
        return
    try:
        system.admin.command("updateUser", USER, pwd=access.password, roles=["root"])
    except OperationFailure as error:
        if error.code != _UNKNOWN_USER:
            raise
        system.admin.command("createUser", USER, pwd=access.password, roles=["root"])
    if not _logs_in(access):
        raise MongoUnavailable(
            "The user of the embedded MongoDB was made, but cannot log in.",
            next_step=f"remove {access.keyfile.with_name('password')} and start it again.",
        )


def _logs_in(access: Access) -> bool:
    with access.client() as client:
        try:
            client.admin.command("ping")
        except OperationFailure as error:
            if error.code != _AUTHENTICATION_FAILED:
                raise
            return False
    return True
