"""Emulated machines for the tests: see README.md of the folder above."""

from .api import Lab, require_programs, wait_until
from .client import Command
from .errors import CommandFailed, CommandTimeout, LabError, MachineLost, Result
from .node import Node

__all__ = [
    "Command",
    "CommandFailed",
    "CommandTimeout",
    "Lab",
    "LabError",
    "MachineLost",
    "Node",
    "Result",
    "require_programs",
    "wait_until",
]
