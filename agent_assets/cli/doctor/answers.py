"""What `agent-assets doctor` says of the answers in MongoDB. It reads, and changes nothing."""

from typing import TYPE_CHECKING, Any

from agent_assets.cli.finding import Finding
from agent_assets.errors import AgentAssetsError
from agent_assets.settings import Settings

if TYPE_CHECKING:
    from pymongo.database import Database

    from agent_assets.automation.pipelines import Graph


def examine_answers(settings: Settings) -> list[Finding]:
    """The index that tells changed elders cheaply, without which the look of every minute reads
    every answer; and the documents that cannot be used.
    """
    from agent_assets.automation.pipelines import load_graphs
    from agent_assets.mongo.retry import connect

    if not settings.mongodb_uri:
        return []  # the embedded one gets it when the sample elders are written
    try:
        with connect(settings.mongodb_uri) as client:
            db = client[settings.mongodb_database]
            graphs = [graph for graph in load_graphs() if graph.spec.partitioned]
            indexes = [_answer_index(db, graph) for graph in graphs]
        return [*indexes, *(_set_aside(settings, graph) for graph in graphs)]
    except AgentAssetsError:
        return []  # MongoDB does not answer or a pipeline is wrong: that is a finding of its own


def _answer_index(db: "Database[dict[str, Any]]", graph: "Graph") -> Finding:
    from agent_assets.mongo.signatures import has_recommended_index, recommended_index

    layout = graph.spec.config.elder_memories.layout
    title = f"index {graph.name}"
    if has_recommended_index(db, layout):
        return Finding(title, True, "an index of the answers shows which elders changed")
    keys = ", ".join(f'"{name}": 1' for name, _ in recommended_index(layout))
    place = f'db.getSiblingDB("{db.name}").getCollection("{layout.answers.collection}")'
    fix = (
        'as a user who may write: mongosh "$MONGODB_URI" --eval '
        f"'{place}.createIndex({{{keys}}})'"
    )
    return Finding(
        title, False, "none: every look for changed elders reads all answers", fix, optional=True
    )


def _set_aside(settings: Settings, graph: "Graph") -> Finding:
    """Documents of elders are told as the plan last read them."""
    from agent_assets.automation.sources import MongoElders
    from agent_assets.conversations.set_aside import set_aside_lines
    from agent_assets.mongo.database import MemoryDatabase
    from agent_assets.planning.elders import known_set_aside
    from agent_assets.planning.index import FILE, PlanIndex

    mongo = MemoryDatabase(uri=settings.mongodb_uri or "", database=settings.mongodb_database)
    source = MongoElders(mongo, graph)
    try:
        by_reason = dict(source.change_tokens().set_aside)
    finally:
        mongo.close()
    folder = settings.home / "plan"
    if (folder / FILE).exists():
        by_reason |= known_set_aside(PlanIndex(folder), source.scope)
    lines = set_aside_lines(by_reason)
    detail = f"set aside: {'; '.join(lines)}" if lines else "nothing had to be set aside"
    return Finding(f"answers {graph.name}", True, detail)
