"""The code server and the daemon as processes of their own, where something else than
`agent-assets up` starts, watches and ends them: containers (deploy/compose.yaml), systemd.

Each of these functions becomes the program that it starts, so that whoever watches the process
watches that program. All of them share one home and one MongoDB.
"""

import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from agent_assets.erasure.forgetting import finished_erasures
from agent_assets.errors import ConfigError, EngineFailed
from agent_assets.priority import RUN_NICENESS
from agent_assets.projects.project import require_project
from agent_assets.runs.code_server import announce_code_server, code_server_listens
from agent_assets.runs.installation import mongodb
from agent_assets.runs.instance import open_instance, prepare_dagster_home
from agent_assets.runs.orphans import release_abandoned_runs
from agent_assets.runs.ticks_ahead import bring_ticks_back
from agent_assets.services import CODE_LOCATION, check_configuration, devices_of_machine
from agent_assets.settings import Settings
from agent_assets.up_locks import no_earlier_services

_READY_SECONDS = 120.0
_POLL_SECONDS = 0.5


def become_code_server(settings: Settings) -> NoReturn:
    """Prepare the home, end what an earlier code server left open, and serve code. Runs are
    children of this process.

    Raises:
        ConfigError: MONGODB_URI is not set, a configuration file is wrong, or services of this
            home run already.
        MongoUnavailable: MongoDB does not answer.
    """
    _need_mongodb(settings)
    check_configuration(settings)
    project = require_project(settings.project)
    with mongodb(settings) as environment, no_earlier_services(settings, print) as lock:
        prepare_dagster_home(settings, devices=devices_of_machine(settings))
        with open_instance(settings) as instance:
            release_abandoned_runs(instance, code_server_gone=True)
            bring_ticks_back(instance, time.time(), print)
        for line in finished_erasures(settings):
            print(line)
        socket_path = announce_code_server(settings, CODE_LOCATION)
        os.nice(RUN_NICENESS)
        os.set_inheritable(lock, True)  # `up` must not start beside this server, on the same home
        arguments = ["api", "grpc", "--socket", str(socket_path)]
        arguments += ["-m", project.definitions, "-d", str(project.import_path)]
        _become("dagster", arguments, environment, project.folder)


def become_daemon(settings: Settings) -> NoReturn:
    """Run Dagster's daemon (the queue, schedules, sensors) once there is a code server.

    Raises:
        ConfigError: MONGODB_URI is not set.
        EngineFailed: no code server came up within two minutes.
    """
    _need_mongodb(settings)
    folder = require_project(settings.project).folder
    with mongodb(settings) as environment:
        wait_for_code_server(settings)
        arguments = ["run", "-w", str(settings.workspace)]
        _become("dagster-daemon", arguments, environment, folder)


def wait_for_code_server(settings: Settings) -> None:
    """Until a code server takes connections.

    Raises:
        EngineFailed: none did within two minutes.
    """
    deadline = time.monotonic() + _READY_SECONDS
    while not code_server_listens(settings):
        if time.monotonic() > deadline:
            raise EngineFailed(
                "There is no code server.",
                next_step="start one on the same home: `agent-assets code-server`.",
            )
        time.sleep(_POLL_SECONDS)


def _need_mongodb(settings: Settings) -> None:
    if not settings.mongodb_uri:
        raise ConfigError(
            "Services that are started apart need a MongoDB that none of them starts.",
            next_step="set MONGODB_URI, or start everything with `agent-assets up`.",
        )


def _become(
    program: str, arguments: list[str], environment: dict[str, str], folder: Path
) -> NoReturn:
    sys.stdout.flush()
    os.chdir(folder)
    path = str(Path(sys.executable).parent / program)
    os.execve(path, [path, *arguments], environment)
