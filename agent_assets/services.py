"""`agent-assets up`: MongoDB, the code server, the Dagster UI and its daemon as children that live
and die together.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import psutil

from agent_assets.engines.devices.gpu import detect_gpus
from agent_assets.erasure.forgetting import finished_erasures
from agent_assets.errors import ConfigError, EngineFailed
from agent_assets.free_ports import port_free
from agent_assets.mongo.embedded.mongod import port_of_earlier_version, restarting, started_pid
from agent_assets.priority import RUN_NICENESS
from agent_assets.privacy import close_home
from agent_assets.projects.project import require_project
from agent_assets.runs.code_server import (
    CodeServer,
    announce_code_server,
    code_server_listens,
    gone,
    listens,
)
from agent_assets.runs.installation import mongodb
from agent_assets.runs.instance import heartbeat_at, open_instance, prepare_dagster_home
from agent_assets.runs.orphans import release_abandoned_runs
from agent_assets.runs.ticks_ahead import ClockWatch, bring_ticks_back
from agent_assets.settings import Settings, load_settings
from agent_assets.up_locks import alone, no_earlier_services

CODE_LOCATION = "agent_assets"
_STOP_SECONDS = 20.0
_READY_SECONDS = 120.0
_WATCH_SECONDS = 1.0
_DAEMON_NICENESS = 10  # it reads the whole queue every few seconds: nobody is to feel that


@dataclass(frozen=True)
class Service:
    """A running child in a process group of its own, and where its output goes."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path


def run_services(settings: Settings, *, port: int, api_port: int) -> int:
    """Start everything, wait for Ctrl-C (or SIGTERM, or the end of one child), stop everything.

    Returns:
        0 after Ctrl-C, 1 when a child ended on its own.

    Raises:
        ConfigError: a port is taken, a configuration file is wrong, this installation is up
            already, or no MongoDB can be found.
    """
    check_configuration(settings)
    if closed := close_home(settings.home):
        _say_closed(
            f"{len(closed)} files and folders of the home that others could reach, such as "
            f"{closed[0]}"
        )
    with alone(settings):
        return _run(settings, port=port, api_port=api_port)


def _run(settings: Settings, *, port: int, api_port: int) -> int:
    # SIGINT, too: a shell starts a background command with Ctrl-C ignored, and `kill -INT` has to
    # end it all the same.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with running_services(settings, port=port, api_port=api_port) as services:
            click.echo(
                f"\nDagster UI: http://127.0.0.1:{port}    API: http://127.0.0.1:{api_port}/docs"
            )
            click.echo("Ctrl-C stops everything")
            return _watch(services, settings)
    except KeyboardInterrupt:
        return 0


def check_configuration(settings: Settings) -> None:
    """Read what the services would read: they would start with a mistake in it, and have nothing to
    show.

    Raises:
        ConfigError: a pipeline, the automation or the serving configuration is wrong.
    """
    from agent_assets.automation.config import load_automation
    from agent_assets.automation.pipelines import load_graphs
    from agent_assets.serving_settings import load_serving

    load_graphs()
    load_automation(settings.automation)
    load_serving()


@contextlib.contextmanager
def running_services(
    settings: Settings, *, port: int, api_port: int | None = None
) -> Iterator[list[Service]]:
    """MongoDB, code server, UI and daemon, ready for use; stopped in reverse order at the end of
    the block.

    With an `api_port` the HTTP API starts as well; nobody waits for it, and its model server starts
    when first asked.

    Raises:
        ConfigError: a port is taken, there is no MongoDB to run, or services of an earlier `up` do
            not end.
    """
    with no_earlier_services(settings, click.echo) as lock:
        _check_ports(port, api_port)
        with _services_on(settings, lock, port=port, api_port=api_port) as services:
            yield services


def _check_ports(port: int, api_port: int | None) -> None:
    for number, option in ((port, "--port"), (api_port, "--api-port")):
        if number is not None and not port_free(number):
            raise ConfigError(
                f"Port {number} is taken.",
                next_step=f"stop what uses it, or choose another with {option}.",
            )


@contextlib.contextmanager
def _services_on(
    settings: Settings, lock: int, *, port: int, api_port: int | None
) -> Iterator[list[Service]]:
    from agent_assets.serving.earlier_versions import close_what_earlier_versions_left

    project = require_project(settings.project)
    open_port = None if settings.mongodb_uri else port_of_earlier_version(settings.mongo_data)
    with mongodb(settings) as environment:
        if open_port is not None:
            _say_closed(
                f"MongoDB, which listened on port {open_port} and let everybody of this machine in"
            )
        if api_port is not None:
            environment.setdefault("AGENT_ASSETS_API_URL", f"http://127.0.0.1:{api_port}")
        prepare_dagster_home(settings, devices=devices_of_machine(settings))
        for what in close_what_earlier_versions_left(load_settings(environment)):
            _say_closed(what)
        with open_instance(settings) as instance:
            release_abandoned_runs(instance, code_server_gone=True)
            heartbeat = heartbeat_at(instance)
            bring_ticks_back(instance, time.time(), click.echo)
        for line in finished_erasures(load_settings(environment)):
            click.echo(line)
        logs = settings.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        socket_path = announce_code_server(settings, CODE_LOCATION)
        workspace = settings.workspace
        services: list[Service] = []
        try:
            code = ["dagster", "code-server", "start", "--socket", str(socket_path)]
            code += ["-m", project.definitions, "-d", str(project.import_path)]
            start = partial(_start, logs=logs, lock=lock, folder=project.folder)
            services.append(start("code server", code, environment, niceness=RUN_NICENESS))
            _wait_until(services[-1], lambda: code_server_listens(settings))
            ui = ["agent-assets", "ui", "--port", str(port)]
            services.append(start("webserver", ui, environment))
            daemon = ["dagster-daemon", "run", "-w", str(workspace)]
            services.append(start("daemon", daemon, environment, niceness=_DAEMON_NICENESS))
            runner = services[-1]
            if api_port is not None:
                reach = environment | {"AGENT_ASSETS_DAGSTER_URL": f"http://127.0.0.1:{port}"}
                serve = ["agent-assets", "serve", "--port", str(api_port)]
                services.append(start("api", serve, reach))
            _wait_until(services[1], lambda: listens(socket.AF_INET, ("127.0.0.1", port)))
            _wait_for_daemon(runner, settings, heartbeat)
            yield services
        finally:
            _stop(services)
            workspace.unlink(missing_ok=True)


def _say_closed(what: str) -> None:
    click.echo(f"closed: {what}")


def devices_of_machine(settings: Settings) -> int:
    """How many runs this machine can have on a device at once: one per GPU, or one on the CPU."""
    return max(1, len(detect_gpus())) if settings.device != "cpu" else 1


def _start(
    name: str,
    command: list[str],
    environment: Mapping[str, str],
    *,
    folder: Path,
    logs: Path,
    lock: int,
    niceness: int = 0,
) -> Service:
    log = logs / f"{name.replace(' ', '-')}.log"
    program = Path(sys.executable).parent / command[0]
    # The wrapper makes a child die with this process even when this process is killed outright.
    supervisor = [
        sys.executable,
        "-m",
        "agent_assets.engines.launch.supervisor",
        # Said, not asked for: it may start after this process was killed.
        "--parent",
        str(os.getpid()),
        "--nice",
        str(niceness),
    ]
    wrapped = [*supervisor, "--exec", str(program), *command[1:]]
    with log.open("wb") as output:
        process = subprocess.Popen(
            wrapped,
            cwd=folder,
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock,),
        )
    click.echo(f"starting {name} (log {log})")
    return Service(name, process, log)


def _wait_for_daemon(service: Service, settings: Settings, before: float) -> None:
    """Until the daemon says that it takes runs from the queue: before that, `refresh` would run in
    its own terminal.

    Args:
        before: when a daemon last said so. Any other time will do: a clock can be set back.
    """
    with open_instance(settings) as instance:
        _wait_until(service, lambda: heartbeat_at(instance) != before)


def _wait_until(service: Service, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if service.process.poll() is not None:
            break
        if ready():
            return
        time.sleep(0.2)
    raise EngineFailed(f"The {service.name} did not start.", next_step=f"read {service.log}.")


def _watch(services: list[Service], settings: Settings) -> int:
    code_server, clock = CodeServer(services[0].process.pid), ClockWatch()
    while True:
        ended = [
            (f"The {service.name}", service.log)
            for service in services
            if service.process.poll() is not None
        ]
        if not code_server.executes():
            ended.append(("The process of the code server that executes code", services[0].log))
        if _mongod_ended(settings):
            ended.append(("MongoDB", settings.mongo_data / "mongod.log"))
        for name, log in ended[:1]:
            click.echo(f"{name} ended on its own; stopping the rest. Its log: {log}", err=True)
            return 1
        if clock.was_set_back():
            with open_instance(settings) as instance:
                bring_ticks_back(instance, time.time(), click.echo)
        time.sleep(_WATCH_SECONDS)


def _mongod_ended(settings: Settings) -> bool:
    """Whether the embedded MongoDB has ended, also before anybody looked."""
    folder = settings.mongo_data
    if settings.mongodb_uri or not _has_ended(started_pid(folder)):
        return False
    # An erasure may have rewritten it, and started another.
    return not restarting(folder) and _has_ended(started_pid(folder))


def _has_ended(pid: int | None) -> bool:
    try:
        return pid is None or gone(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def _stop(services: list[Service]) -> None:
    for service in reversed(services):
        if service.process.poll() is None:
            service.process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for service in reversed(services):
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.process.wait(timeout=max(0.1, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(service.process.pid, signal.SIGKILL)  # whatever the child left behind
        service.process.wait()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
