"""Which inference server answers: for evaluation, reinforcement learning, `ask` and the HTTP API
alike.

What is judged is what answers, so there is one for all of them.
"""

from agent_assets.engines.servers.base import InferenceServer
from agent_assets.engines.servers.vllm import Vllm

SERVER: InferenceServer = Vllm()
