"""Reinforcement learning: scenarios, verifiable rewards, judge, rollouts, and the engines that
learn from them.
"""
