"""What the processes that these tests fork need is imported before: each would take seconds."""

import optuna.storages._rdb.models
import psycopg
import torch_geometric.nn

import evaluators.datasets
import evaluators.facts
import evaluators.training
import nas.strategies.evolution

__all__ = ["evaluators", "nas", "optuna", "psycopg", "torch_geometric"]
