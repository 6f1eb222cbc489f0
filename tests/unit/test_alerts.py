"""Alerts reach a real webhook, signed, a bounded number of times, and name nobody."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from agent_assets.alerts import watch
from agent_assets.alerts.config import AlertsConfig, Event
from agent_assets.alerts.dagster_events import notice_failed_run, notice_held_candidates
from agent_assets.alerts.outbox import Outbox
from agent_assets.alerts.watch import look
from agent_assets.alerts.webhook import ID, SIGNATURE, TIMESTAMP, deliver
from agent_assets.automation.config import AutomationConfig
from agent_assets.cli.main import commands
from agent_assets.errors import ConfigError
from agent_assets.release.pointer import CURRENT, pointer_path
from agent_assets.settings import Settings, load_settings
from agent_assets.store.artifact_store import ArtifactStore
from support.local_http import LocalHandler, LocalServer
from support.release_cases import release

ADA = ("elder_companion", "ada")
GIB = 2**30


class Webhook(LocalServer):
    """Answers with the statuses it is given, then with 204, and keeps what it got."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[dict[str, str], bytes]] = []
        super().__init__(_Handler)


class _Handler(LocalHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Webhook)
        self.server.got.append((dict(self.headers), self.body()))
        self.reply(self.server.statuses.pop(0) if self.server.statuses else 204, b"")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def outbox(home: Path) -> Outbox:
    return Outbox(home)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook().running() as server:
        yield server


def config(webhook: Webhook | None, **more: Any) -> AlertsConfig:
    url = None if webhook is None else f"http://127.0.0.1:{webhook.server_port}/hook"
    return AlertsConfig.model_validate({"url": url, **more})


def settings_of(home: Path) -> Settings:
    return load_settings({"AGENT_ASSETS_HOME": str(home)})


def notice(outbox: Outbox, key: str = "k", now: float = 0.0) -> bool:
    content = {"summary": "A test.", "count": 2}
    return outbox.notice(Event.TEST, key, content, now=now, send=True)


def words(body: bytes) -> str:
    """All that an alert says; ids are hex digits, and may spell a name."""
    content = json.loads(body)
    run = content.pop("run_id", "no run")
    return json.dumps(content | {"id": ""}).replace(run, "")


def test_an_alert_is_signed_and_sent_once(outbox: Outbox, webhook: Webhook) -> None:
    assert notice(outbox)
    assert deliver(outbox, config(webhook), "s3cret", now=0.0) == 1
    assert deliver(outbox, config(webhook), "s3cret", now=1e9) == 0
    ((headers, body),) = webhook.got
    expected = hmac.new(b"s3cret", headers[TIMESTAMP].encode() + b"." + body, hashlib.sha256)
    assert headers[SIGNATURE] == f"sha256={expected.hexdigest()}"
    content = json.loads(body)
    assert content["id"] == headers[ID] and content["count"] == 2 and content["event"] == "test"
    assert outbox.counts() == {("test", "noticed"): 1, ("test", "sent"): 1}


def test_a_webhook_that_fails_is_asked_again_but_not_for_ever(outbox: Outbox) -> None:
    notice(outbox)
    tries = config(None, url="http://127.0.0.1:9/hook", max_attempts=3, timeout_s=1.0)
    times = [0.0, 30.0, 60.0, 100.0, 180.0, 1e9]  # a minute, then two
    attempts = []
    for now in times:
        before = [alert.attempts for alert in outbox.due(now)]
        deliver(outbox, tries, None, now=now)
        attempts += before
    assert attempts == [0, 1, 2] and outbox.waiting() == 0
    assert outbox.counts()["test", "lost"] == 1


@pytest.mark.parametrize(
    ("status", "waits"), [(500, True), (429, True), (503, True), (404, False), (401, False)]
)
def test_a_refusal_is_not_repeated_and_an_outage_is(
    outbox: Outbox, status: int, waits: bool
) -> None:
    notice(outbox)
    with Webhook(status).running() as webhook:
        assert deliver(outbox, config(webhook), None, now=0.0) == 0
        assert outbox.waiting() == waits
        assert deliver(outbox, config(webhook), None, now=60.0) == waits
        assert len({json.loads(body)["id"] for _, body in webhook.got}) == 1
        assert all(SIGNATURE not in headers for headers, _ in webhook.got)


def test_a_webhook_that_is_gone_for_good_fills_no_disk(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_assets.alerts.outbox._MOST_WAITING", 3)
    for number in range(5):
        notice(outbox, str(number))
    assert outbox.waiting() == 3 and outbox.counts()["test", "lost"] == 2


def test_the_disk_is_told_once_a_day_and_again_after_it_recovered(
    outbox: Outbox, webhook: Webhook, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {"home": 3 * GIB}
    monkeypatch.setattr(watch, "free_bytes", lambda _: free)
    store = ArtifactStore(str(home / "store"))

    def at(now: float) -> int:
        look(outbox, config(webhook), settings_of(home), store, now=now)
        return deliver(outbox, config(webhook), None, now=now)

    assert [at(0.0), at(60.0), at(90_000.0)] == [1, 0, 1]
    free["home"] = 50 * GIB
    assert at(90_060.0) == 0
    free["home"] = GIB
    assert at(90_120.0) == 1
    content = json.loads(webhook.got[0][1])
    assert content["event"] == "low_disk" and content["free_bytes"] == 3 * GIB


def test_the_free_space_of_this_machine_is_read(home: Path) -> None:
    assert watch.free_bytes(settings_of(home))["store"] > 0


def test_damage_is_told_without_names(outbox: Outbox, webhook: Webhook, home: Path) -> None:
    store = ArtifactStore(str(home / "store"))
    release(store, "a" * 32)
    quiet = config(webhook, min_free_gb=0)
    look(outbox, quiet, settings_of(home), store, now=0.0)
    Path(pointer_path(store, ADA, CURRENT)).write_bytes(b"{")
    for now in (1.0, 2.0):
        look(outbox, quiet, settings_of(home), store, now=now)
    assert deliver(outbox, quiet, None, now=3.0) == 1
    ((_, body),) = webhook.got
    assert json.loads(body)["count"] == 1 and "ada" not in words(body)


def test_failed_runs_and_held_candidates_are_told(
    outbox: Outbox, webhook: Webhook, tmp_path: Path
) -> None:
    @dg.asset(key=dg.AssetKey(["companion", "release"]), partitions_def=ELDERS)
    def judged(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        if context.partition_key == "fails":
            raise ValueError("what ada@example.org told")
        verdict = {"bob": "HOLD", "cleo": "PROMOTE"}.get(context.partition_key, "REJECT")
        return dg.MaterializeResult(metadata={"verdict": verdict, "reasons": ["of ada"]})

    job = dg.Definitions(assets=[judged]).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def run(elder: str, **tags: str) -> None:
            job.execute_in_process(
                instance=instance,
                partition_key=elder,
                raise_on_error=False,
                tags={"agent_assets/pipeline": "companion", "agent_assets/elder": elder, **tags},
            )

        def held(cursor: str | None) -> str:
            return notice_held_candidates(
                outbox, config(webhook), instance, ["companion"], cursor, now=0.0
            )

        instance.add_dynamic_partitions("elders", ["bob", "cleo", "ada@example.org", "fails"])
        run("bob")
        cursor = held(None)  # what was judged before is not news
        for elder in ("bob", "cleo", "ada@example.org", "fails"):
            run(elder)
        assert held(held(cursor)) != cursor
        runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        for _ in range(2):
            notice_failed_run(outbox, config(webhook), runs[0], now=0.0)
        again = runs[0].with_tags({"dagster/will_retry": "true"})
        notice_failed_run(outbox, config(webhook), again, now=0.0)
    assert outbox.counts() == {("candidate_held", "noticed"): 2, ("run_failed", "noticed"): 1}
    assert deliver(outbox, config(webhook), None, now=0.0) == 3
    for _, body in webhook.got:
        for word in ("ada", "bob", "cleo", "fails"):
            assert word not in words(body)
    assert json.loads(webhook.got[-1][1])["run_id"] == runs[0].run_id


ELDERS = dg.DynamicPartitionsDefinition(name="elders")


def test_what_is_not_wanted_is_counted_and_not_sent(
    outbox: Outbox, webhook: Webhook, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "free_bytes", lambda _: {"home": 0})
    store = ArtifactStore(str(home / "store"))
    for number, wanted in enumerate(
        (config(webhook, events=["run_failed"]), config(None)), start=1
    ):
        outbox.over(Event.LOW_DISK, "home")
        look(outbox, wanted, settings_of(home), store, now=0.0)
        assert outbox.waiting() == 0 and outbox.counts()["low_disk", "noticed"] == number


def test_a_url_that_is_none_is_refused_in_the_configuration() -> None:
    with pytest.raises(ValueError, match="begins with https"):
        AutomationConfig.model_validate({"alerts": {"url": "hooks.example.org/x"}})


def test_a_damaged_outbox_is_set_aside(home: Path, outbox: Outbox) -> None:
    notice(outbox)
    outbox.path.write_bytes(b"no database" * 400)
    for ending in ("-wal", "-shm"):
        outbox.path.with_name(outbox.path.name + ending).unlink(missing_ok=True)
    assert Outbox(home).waiting() == 0


def test_the_command_tells_and_tests(home: Path, webhook: Webhook, tmp_path: Path) -> None:
    settings = tmp_path / "automation.yaml"

    def run(*arguments: str) -> tuple[int, str]:
        environment = {
            "AGENT_ASSETS_HOME": str(home),
            "AGENT_ASSETS_AUTOMATION": str(settings),
            "OUR_SECRET": "s3cret",
        }
        done = CliRunner().invoke(commands, ["alerts", *arguments], env=environment)
        problem = str(done.exception) if isinstance(done.exception, ConfigError) else ""
        return done.exit_code, done.output + problem

    settings.write_text("{}", encoding="utf-8")
    assert run() == (0, "0 wait; they go nowhere: alerts.url is not set\n")
    assert "There is no webhook" in run("--test")[1]
    url = f"http://127.0.0.1:{webhook.server_port}/hook"
    settings.write_text(f"alerts: {{url: '{url}', secret_env: OUR_SECRET}}", encoding="utf-8")
    notice(Outbox(home))
    assert run("--test") == (0, "the webhook took it\n") and SIGNATURE in webhook.got[0][0]
    assert "1 noticed, 0 sent, 0 lost" in run()[1] and "webhook, signed" in run()[1]
    webhook.statuses.append(403)
    assert run("--test")[0] == 1 and Outbox(home).waiting() == 1
