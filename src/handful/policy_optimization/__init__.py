"""Optimisers of policies, from REINFORCE to TRPO and PPO: the same on a simulator, on a system, and inside a belief."""
