"""`python -m agent_assets` is `agent-assets`."""

from agent_assets.cli import main

main()
