"""Agent cards: what is public about this installation, and what a caller may know.

The public card names nobody: who has an agent here is not for everybody. The extended card, and the
card of one agent, take a token.
"""

from collections.abc import Sequence
from importlib.metadata import version

from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)
from a2a.utils.constants import (
    PROTOCOL_VERSION_0_3,
    PROTOCOL_VERSION_1_0,
    TransportProtocol,
)

AGENT_ID = "agent_id"  # in the metadata of a message: who is asked
PATH = "/a2a"
_TEXT = "text/plain"
_TOKEN = "bearer"


def public_card(base_url: str) -> AgentCard:
    """The card of the installation: how to ask, and nobody's name."""
    skill = AgentSkill(
        id="chat",
        name="Talk to an agent",
        description="An agent answers from its own memories and tools. The metadata of a message "
        f"name it as `{AGENT_ID}`; without it the one that the token is for is asked.",
        tags=["chat"],
    )
    return _card(
        "agent-assets",
        "Agents that speak for people, and experts with tools.",
        f"{base_url}{PATH}",
        [skill],
    )


def extended_card(card: AgentCard, agents: Sequence[str]) -> AgentCard:
    """The card with a skill for each agent that the caller may ask."""
    extended = AgentCard()
    extended.CopyFrom(card)
    extended.skills.extend(_skill_of(agent) for agent in agents)
    return extended


def card_of(agent: str, base_url: str) -> AgentCard:
    """The card of one agent, which has an address of its own."""
    return _card(
        agent,
        "Answers from its own memories and tools.",
        f"{base_url}{PATH}/{agent}",
        [_skill_of(agent)],
    )


def _skill_of(agent: str) -> AgentSkill:
    return AgentSkill(
        id=agent,
        name=agent,
        description=f"Talk to {agent}: metadata {{{AGENT_ID}: {agent}}}.",
        tags=["chat"],
    )


def _card(name: str, description: str, url: str, skills: Sequence[AgentSkill]) -> AgentCard:
    scheme = HTTPAuthSecurityScheme(
        scheme="bearer", description="Made with `agent-assets token create`."
    )
    return AgentCard(
        name=name,
        description=description,
        version=version("agent-assets"),
        supported_interfaces=[
            AgentInterface(
                url=url, protocol_binding=TransportProtocol.JSONRPC, protocol_version=protocol
            )
            for protocol in (PROTOCOL_VERSION_1_0, PROTOCOL_VERSION_0_3)
        ],
        capabilities=AgentCapabilities(
            streaming=True, push_notifications=False, extended_agent_card=True
        ),
        security_schemes={_TOKEN: SecurityScheme(http_auth_security_scheme=scheme)},
        security_requirements=[SecurityRequirement(schemes={_TOKEN: StringList()})],
        default_input_modes=[_TEXT],
        default_output_modes=[_TEXT],
        skills=skills,
    )
