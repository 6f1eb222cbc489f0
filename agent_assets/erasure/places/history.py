"""Dagster's history: runs of the elder with their events, tags and output, and every row that names
the elder.

Dagster can delete a run, and would take along what the run made for everybody (a shared asset that
was stale) and leave what it keeps apart (the latest materialization of an asset, finished
backfills, ticks). This works on its tables, of which `tests/unit/erasure` knows the columns it
uses. What was made for everybody stays, so that nothing of others becomes stale.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as db

from agent_assets.erasure.place import Item, Scene
from agent_assets.erasure.places.files import file_items, remove_paths
from agent_assets.erasure.places.sqlite_files import compact
from agent_assets.planning.history import ELDER_TAG

_PARTITION_TAGS = (ELDER_TAG, "dagster/partition")
_RUN_DATABASE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CHUNK = 500
# JSON that lists partitions, or carries the tags and keys of runs.
_LISTS = (
    ("bulk_actions", "body"),
    ("backfill_tags", "value"),
    ("kvs", "value"),
    ("run_tags", "value"),
    ("job_ticks", "tick_body"),
    ("instigators", "instigator_body"),
    ("asset_daemon_asset_evaluations", "asset_evaluation_body"),
    ("asset_keys", "asset_details"),
)
_POSTGRES = (
    "what PostgreSQL keeps of deleted rows of Dagster's history: unvacuumed pages, its write-ahead "
    "log, its replicas and backups"
)


class History:
    """Runs of the elder, and what else of Dagster's history names them."""

    name = "history of runs"

    def items(self, scene: Scene) -> list[Item]:
        """Rows that go or are masked, and files of runs."""
        elder, items = scene.request.elder, []
        runs = _runs(scene)
        for tables, connection in _databases(scene):
            for table, condition in _rows(tables, elder, runs):
                rows = connection.execute(db.select(db.func.count()).where(condition)).scalar_one()
                items += [Item(f"{table.name} {number}") for number in range(rows)]
            items += [
                Item(f"{table.name} {key}") for table, key, _ in _masked(scene, tables, connection)
            ]
            items += [
                Item(f"asset_keys {row.id}") for row in _latest(tables, connection, elder, runs)
            ]
        return items + file_items(_files(scene, runs))

    def remove(self, scene: Scene) -> None:
        """Delete and mask them. The runs themselves go last: they say what else is theirs."""
        elder, runs = scene.request.elder, _runs(scene)
        remove_paths(_files(scene, runs))
        for tables, connection in _databases(scene):
            latest = _latest(tables, connection, elder, runs)
            masked = list(_masked(scene, tables, connection))
            for table, condition in _rows(tables, elder, runs):
                connection.execute(db.delete(table).where(condition))
            for row in latest:
                _renew(tables, connection, row)
            for table, key, changes in masked:
                connection.execute(db.update(table).where(table.c.id == key).values(changes))
        for path in _sqlite_files(scene):
            compact(path)

    def out_of_reach(self, scene: Scene) -> Iterable[str]:
        """Of PostgreSQL, what it keeps of deleted rows."""
        if scene.settings.postgres_url:
            yield _POSTGRES


Tables = dict[str, db.Table]


def _runs(scene: Scene) -> list[str]:
    """Ids of the elder's runs, sorted."""
    elder, runs = scene.request.elder, set()
    for tables, connection in _databases(scene):
        if "run_tags" in tables:
            tags = tables["run_tags"]
            of_elder = tags.c.key.in_(_PARTITION_TAGS) & (tags.c.value == elder)
            runs |= set(connection.execute(db.select(tags.c.run_id).where(of_elder)).scalars())
        if "runs" in tables:
            table = tables["runs"]
            theirs = db.select(table.c.run_id).where(table.c.partition == elder)
            runs |= set(connection.execute(theirs).scalars())
    return sorted(runs)


def _rows(
    tables: Tables, elder: str, runs: list[str]
) -> Iterator[tuple[db.Table, db.ColumnElement[bool]]]:
    """What goes, by table, in the order in which it can go."""
    if "event_logs" in tables:
        events = tables["event_logs"]
        asset = events.c.asset_key
        own = db.select(asset).where((events.c.partition == elder) & asset.is_not(None))
        for_all = asset.is_not(None) & events.c.partition.is_(None) & asset.not_in(own)
        gone = (events.c.partition == elder) | (_among(events.c.run_id, runs) & ~for_all)
        tags, checks = tables["asset_event_tags"], tables["asset_check_executions"]
        yield tags, tags.c.event_id.in_(db.select(events.c.id).where(gone))
        yield (
            checks,
            (checks.c.partition == elder)
            | (_among(checks.c.run_id, runs) & checks.c.asset_key.in_(own)),
        )
        yield events, gone
        yield tables["dynamic_partitions"], tables["dynamic_partitions"].c.partition == elder
        for name in ("concurrency_slots", "pending_steps"):
            yield tables[name], _among(tables[name].c.run_id, runs)
    if "run_tags" in tables:
        yield (
            tables["runs"],
            _among(tables["runs"].c.run_id, runs) | (tables["runs"].c.partition == elder),
        )
        yield tables["run_tags"], _among(tables["run_tags"].c.run_id, runs)


def _among(column: db.ColumnElement[str], runs: list[str]) -> db.ColumnElement[bool]:
    chunks = [runs[start : start + _CHUNK] for start in range(0, len(runs), _CHUNK)]
    return db.or_(db.false(), *(column.in_(chunk) for chunk in chunks))


def _latest(
    tables: Tables, connection: db.Connection, elder: str, runs: list[str]
) -> list[db.Row[tuple[int, str]]]:
    """Assets of which Dagster keeps the latest materialization, or a digest of all, apart."""
    if "asset_keys" not in tables:
        return []
    keys = tables["asset_keys"]
    quoted = f'"{elder}"'
    named = keys.c.last_materialization.contains(quoted, autoescape=True)
    counted = keys.c.cached_status_data.contains(elder, autoescape=True)
    return list(
        connection.execute(db.select(keys.c.id, keys.c.asset_key).where(named | counted)).all()
    )


def _renew(tables: Tables, connection: db.Connection, row: db.Row[tuple[int, str]]) -> None:
    """Let Dagster take the latest materialization that is left for the latest."""
    events, keys = tables["event_logs"], tables["asset_keys"]
    last = connection.execute(
        db.select(events.c.event, events.c.run_id, events.c.timestamp)
        .where(
            (events.c.asset_key == row.asset_key)
            & (events.c.dagster_event_type == "ASSET_MATERIALIZATION")
        )
        .order_by(events.c.id.desc())
        .limit(1)
    ).first()
    values = {
        "last_materialization": None if last is None else last.event,
        "last_run_id": None if last is None else last.run_id,
        "last_materialization_timestamp": None if last is None else last.timestamp,
        "cached_status_data": None,
    }
    connection.execute(db.update(keys).where(keys.c.id == row.id).values(values))


def _masked(
    scene: Scene, tables: Tables, connection: db.Connection
) -> Iterator[tuple[db.Table, int, dict[str, str]]]:
    """Rows about others, too, that name the elder: table, id, and the column without the name."""
    elder = re.escape(scene.request.elder)
    pipelines = "|".join(re.escape(graph.name) for graph in scene.installation.graphs)
    # a JSON string, as often quoted as it may be; the key of a requested run; a value of its own
    name = re.compile(
        rf'(?<=")(?:{elder})(?=\\*")|\b((?:{pipelines})-){elder}(?=-[0-9a-f]{{8,}}-)|^{elder}$'
    )
    instead = f"erased-{scene.request.id[:8]}"
    for table_name, column_name in _LISTS:
        if table_name not in tables or column_name not in tables[table_name].c:
            continue
        table = tables[table_name]
        column = table.c[column_name]
        named = column.contains(scene.request.elder, autoescape=True)
        for key, text in connection.execute(db.select(table.c.id, column).where(named)).all():
            without = name.sub(lambda match: f"{match[1] or ''}{instead}", text)
            if without != text:
                yield table, key, {column_name: without}


def _files(scene: Scene, runs: list[str]) -> list[Path]:
    """Databases and output of runs."""
    home = scene.settings.dagster_home
    databases = [
        path
        for run in runs
        for end in (".db", ".db-wal", ".db-shm", ".db-journal")
        if (path := home / "history" / "runs" / f"{run}{end}").exists()
    ]
    outputs = [path for run in runs if (path := home / "storage" / run).exists()]
    return databases + outputs


def _databases(scene: Scene) -> Iterator[tuple[Tables, db.Connection]]:
    """Every database of the history, each in a transaction that is committed after its turn."""
    urls = [f"sqlite:///{path}" for path in _sqlite_files(scene)]
    if scene.settings.postgres_url:
        urls.append(scene.settings.postgres_url)
    for url in urls:
        with _opened(url) as opened:
            yield opened


@contextmanager
def _opened(url: str) -> Iterator[tuple[Tables, db.Connection]]:
    is_sqlite = url.startswith("sqlite")
    arguments = {"timeout": 60} if is_sqlite else {}
    engine = db.create_engine(url, connect_args=arguments, poolclass=db.NullPool)
    try:
        with engine.begin() as connection:
            if is_sqlite:
                connection.exec_driver_sql("PRAGMA secure_delete = ON")
            metadata = db.MetaData()
            metadata.reflect(connection)
            yield dict(metadata.tables), connection
    finally:
        engine.dispose()


def _sqlite_files(scene: Scene) -> list[Path]:
    """Dagster's files but those of single runs."""
    return [
        path
        for path in sorted(scene.settings.dagster_home.rglob("*.db"))
        if _RUN_DATABASE.fullmatch(path.stem) is None
    ]
