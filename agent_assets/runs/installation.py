"""Opening an installation: its home, and the MongoDB that its processes use."""

import contextlib
from collections.abc import Iterator

from agent_assets.mongo.embedded.mongod import start_mongod
from agent_assets.privacy import be_private, make_home
from agent_assets.settings import Settings, load_settings, set_environment, whole_environment


@contextlib.contextmanager
def mongodb(settings: Settings) -> Iterator[dict[str, str]]:
    """The environment of our processes, with MONGODB_URI pointing at the user's MongoDB or at the
    embedded one.

    Raises:
        ConfigError: the home cannot be written to, there is no MongoDB to run, or the URI is
            malformed.
        MongoUnavailable: the user's does not answer, or the embedded one does not start.
    """
    be_private()
    make_home(settings)
    environment = whole_environment() | {
        "DAGSTER_HOME": str(settings.dagster_home),
        "AGENT_ASSETS_HOME": str(settings.home),
        **({"AGENT_ASSETS_PROJECT": str(settings.project.folder)} if settings.project else {}),
        "AGENT_ASSETS_STORE": settings.store,
        "MONGODB_DATABASE": settings.mongodb_database,
    }
    if settings.mongodb_uri:
        from agent_assets.mongo.retry import ping

        ping(settings.mongodb_uri)
        yield environment | {"MONGODB_URI": settings.mongodb_uri}
        return
    with start_mongod(settings.mongo_data) as mongod:
        yield environment | {"MONGODB_URI": mongod.uri}


@contextlib.contextmanager
def mongodb_environment(settings: Settings) -> Iterator[Settings]:
    """As `mongodb`, for work in this process: the code location reads its settings from the
    environment everywhere.
    """
    with mongodb(settings) as environment, set_environment(environment):
        yield load_settings()
