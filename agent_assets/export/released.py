"""The released model of an agent: what answers now, and the artifacts that it is made of."""

from dataclasses import dataclass

from agent_assets.errors import ReleaseError
from agent_assets.release.commands import find_agent
from agent_assets.release.pointer import current_entry, release_key
from agent_assets.release.records import Agent, Candidate, Entry, read_candidate
from agent_assets.store.artifact_store import Artifact, ArtifactKey, ArtifactStore


@dataclass(frozen=True)
class ReleasedModel:
    """What an agent answers with."""

    store: ArtifactStore
    agent: Agent
    entry: Entry
    candidate: Candidate

    @property
    def title(self) -> str:
        """`pipeline/agent`, or the pipeline alone where it is one agent."""
        pipeline, agent = self.agent
        return pipeline if pipeline == agent else f"{pipeline}/{agent}"

    def part(self, role: str) -> Artifact:
        """An artifact of the release, its files compared with their hashes.

        Raises:
            ReleaseError: it is not in the store any more.
            CorruptArtifact: a file of it was changed.
        """
        part = self.candidate.parts.get(role)
        key = None if part is None else part.key(self.candidate.pipeline)
        found = None if part is None or key is None else self.store.find(key, part.fingerprint)
        if found is None:
            raise ReleaseError(
                f"The release of {self.title} has no {role} in the store.",
                next_step="materialize the agent again, and export what is released then.",
            )
        self.store.verify(found)
        return found

    def gguf(self, quantization: str) -> Artifact | None:
        """The verified file of the asset `exported_model` for these weights; None without one."""
        merged = self.candidate.parts["merged"]
        key = ArtifactKey(self.candidate.pipeline, "exported_model", self.candidate.partition)
        for version in self.store.versions(key):
            artifact = self.store.find(key, version)
            if (
                artifact is not None
                and not artifact.broken_checks
                and artifact.manifest.inputs.get(merged.asset) == merged.version
                and artifact.manifest.summary.get("name") == self.candidate.name
                and artifact.manifest.config["quantization"] == quantization
            ):
                self.store.verify(artifact)
                return artifact
        return None


def find_released(store: ArtifactStore, name: str) -> ReleasedModel:
    """The released model of the agent called `name` (a pipeline, an elder, `pipeline/elder`).

    Raises:
        ReleaseError: nobody is called so, or nothing is released.
    """
    agent = find_agent(store, name)
    entry = current_entry(store, agent)
    artifact = (
        None if entry is None else store.find(release_key(agent[0], entry.elder), entry.version)
    )
    if entry is None or artifact is None:
        raise ReleaseError(
            f"{agent[0]}/{agent[1]} has no release, so there is nothing to export.",
            next_step=f"`agent-assets releases {agent[1]}` says what the gate decided and why.",
        )
    return ReleasedModel(store, agent, entry, read_candidate(artifact.path))
