"""Answers are traced where the operator says so, and nowhere else."""

from agent_assets.agent.trace_store import list_traces, read_trace
from agent_assets.store.erasable_data import (
    elder_data_locations,
    erase_locations,
    trace_file,
    trace_files,
)
from support.serving_world import PIPELINE, World, running_api


def test_only_the_chats_of_a_named_agent_are_traced_and_go_with_the_elder(world: World) -> None:
    assert world.chat("Who are you?").status_code == 200
    assert trace_files(world.store) == []
    config = world.services.config.model_copy(update={"trace_chats": ["ada"]})
    with running_api(world.settings, config) as (client, _):
        world.model.call("search_memories", query="What did you sell?")
        world.model.text("Candles [m1].")
        for elder in ("ada", "ben"):
            body = {"elder_id": elder, "message": "What did you sell?"}
            assert client.post("/chat", json=body).status_code == 200
    path = trace_file(world.store, PIPELINE, "ada")
    assert trace_files(world.store) == [path]
    (line,) = list_traces(path)
    assert (line.kind, line.run_id, line.failed) == ("rollout", "chat", 0)
    rollout, *steps = read_trace(path, line.trace_id)
    assert [step.kind for step in steps] == ["llm_call", "tool_call", "llm_call"]
    assert {step.parent_id for step in steps} == {rollout.id}
    assert "Candles [m1]." in str(steps[-1].output)
    erase_locations(
        world.store, elder_data_locations(world.store, world.settings.home / "logs", "ada")
    )
    assert not path.exists()
