"""A2A, the protocol in which agents ask agents: agent cards, tasks, streams, through a2a-sdk."""
