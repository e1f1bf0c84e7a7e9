"""MiniGrid's and BabyAI's environments as worlds."""

from envs.minigrid.adapter import MiniGrid
from envs.minigrid.ids import catalogue, ids, unavailable

__all__ = ["MiniGrid", "catalogue", "ids", "unavailable"]
