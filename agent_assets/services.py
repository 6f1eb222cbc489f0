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
from pathlib import Path

import click
import psutil
import yaml
from filelock import FileLock, Timeout

from agent_assets.engines.devices.gpu import detect_gpus
from agent_assets.erasure.forgetting import finished_erasures
from agent_assets.errors import ConfigError, EngineFailed
from agent_assets.free_ports import port_free
from agent_assets.mongo.embedded.mongod import port_of_earlier_version, restarting, running_mongod
from agent_assets.priority import RUN_NICENESS
from agent_assets.privacy import close_home, make_home, socket_folder
from agent_assets.runs.installation import mongodb
from agent_assets.runs.instance import heartbeat_at, open_instance, prepare_dagster_home
from agent_assets.runs.orphans import release_abandoned_runs
from agent_assets.settings import REPOSITORY, Settings, load_settings

CODE_LOCATION = "agent_assets.definitions"
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
    with _alone(settings):
        for number, option in ((port, "--port"), (api_port, "--api-port")):
            if not port_free(number):
                raise ConfigError(
                    f"Port {number} is taken.",
                    next_step=f"stop what uses it, or choose another with {option}.",
                )
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
    """
    from agent_assets.serving.earlier_versions import close_what_earlier_versions_left

    open_port = None if settings.mongodb_uri else port_of_earlier_version(settings.mongo_data)
    with mongodb(settings) as environment:
        if open_port is not None:
            _say_closed(
                f"MongoDB, which listened on port {open_port} and let everybody of this machine in"
            )
        prepare_dagster_home(settings, devices=_devices(settings))
        for what in close_what_earlier_versions_left(load_settings(environment)):
            _say_closed(what)
        with open_instance(settings) as instance:
            release_abandoned_runs(instance, code_server_gone=True)
        for line in finished_erasures(load_settings(environment)):
            click.echo(line)
        logs = settings.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        # Who reaches a code server executes what he likes: it listens on a socket that others
        # cannot reach.
        socket_path = socket_folder(settings.home / "run") / "code-server.sock"
        socket_path.unlink(missing_ok=True)
        workspace = settings.workspace
        server = {"socket": str(socket_path), "location_name": "agent_assets"}
        workspace.write_text(
            yaml.safe_dump({"load_from": [{"grpc_server": server}]}), encoding="utf-8"
        )
        services: list[Service] = []
        try:
            code = [
                "dagster",
                "code-server",
                "start",
                "-m",
                CODE_LOCATION,
                "--socket",
                str(socket_path),
            ]
            services.append(_start("code server", code, environment, logs, niceness=RUN_NICENESS))
            _wait_until(services[-1], lambda: _listens(socket.AF_UNIX, str(socket_path)))
            services.append(
                _start("webserver", ["agent-assets", "ui", "--port", str(port)], environment, logs)
            )
            daemon = ["dagster-daemon", "run", "-w", str(workspace)]
            started = time.time()
            services.append(_start("daemon", daemon, environment, logs, niceness=_DAEMON_NICENESS))
            runner = services[-1]
            if api_port is not None:
                reach = environment | {"AGENT_ASSETS_DAGSTER_URL": f"http://127.0.0.1:{port}"}
                services.append(
                    _start("api", ["agent-assets", "serve", "--port", str(api_port)], reach, logs)
                )
            _wait_until(services[1], lambda: _listens(socket.AF_INET, ("127.0.0.1", port)))
            _wait_for_daemon(runner, settings, started)
            yield services
        finally:
            _stop(services)
            workspace.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One set of services per home: a second would share the daemon's storage, and take the
    workspace along.
    """
    make_home(settings)
    file = settings.home / "up.lock"  # names the process that holds it
    try:
        held = FileLock(file, fallback_to_soft=False).acquire(blocking=False)
    except Timeout:
        raise ConfigError(
            f"This installation is up already (process {file.read_text() or 'unknown'}).",
            next_step="use that one, or set AGENT_ASSETS_HOME to another folder.",
        ) from None
    with held:
        file.write_text(str(os.getpid()), encoding="ascii")
        yield


def _say_closed(what: str) -> None:
    click.echo(f"closed: {what}")


def _devices(settings: Settings) -> int:
    """How many runs this machine can have on a device at once: one per GPU, or one on the CPU."""
    return max(1, len(detect_gpus())) if settings.device != "cpu" else 1


def _start(
    name: str, command: list[str], environment: Mapping[str, str], logs: Path, *, niceness: int = 0
) -> Service:
    log = logs / f"{name.replace(' ', '-')}.log"
    program = Path(sys.executable).parent / command[0]
    # The wrapper makes a child die with this process even when this process is killed outright.
    supervisor = [
        sys.executable,
        "-m",
        "agent_assets.engines.launch.supervisor",
        "--nice",
        str(niceness),
    ]
    wrapped = [*supervisor, "--exec", str(program), *command[1:]]
    with log.open("wb") as output:
        process = subprocess.Popen(
            wrapped,
            cwd=REPOSITORY,
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    click.echo(f"starting {name} (log {log})")
    return Service(name, process, log)


def _wait_for_daemon(service: Service, settings: Settings, since: float) -> None:
    """Until the daemon says that it takes runs from the queue: before that, `refresh` would run in
    its own terminal.
    """
    with open_instance(settings) as instance:
        _wait_until(service, lambda: heartbeat_at(instance) >= since)


def _wait_until(service: Service, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if service.process.poll() is not None:
            break
        if ready():
            return
        time.sleep(0.2)
    raise EngineFailed(f"The {service.name} did not start.", next_step=f"read {service.log}.")


def _listens(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(address) == 0


def _watch(services: list[Service], settings: Settings) -> int:
    mongod = _mongod(settings)
    while True:
        ended = [
            (f"The {service.name}", service.log)
            for service in services
            if service.process.poll() is not None
        ]
        if mongod is not None and _gone(mongod) and not restarting(settings.mongo_data):
            # an erasure may have rewritten it, and started another
            mongod = _mongod(settings) or mongod
            if _gone(mongod):
                ended.append(("MongoDB", settings.mongo_data / "mongod.log"))
        for name, log in ended[:1]:
            click.echo(f"{name} ended on its own; stopping the rest. Its log: {log}", err=True)
            return 1
        time.sleep(_WATCH_SECONDS)


def _mongod(settings: Settings) -> psutil.Process | None:
    """The embedded mongod; None where MongoDB is another's, or where there is none."""
    running = None if settings.mongodb_uri else running_mongod(settings.mongo_data)
    return None if running is None else psutil.Process(running.pid)


def _gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
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
