"""Policy optimisation, from REINFORCE to TRPO and PPO: on a simulator, on a real system, or inside a learned model."""
