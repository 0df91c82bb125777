"""Scaling rules: from a study's front to networks of any number of multiply-accumulates.

Kai Han, Yunhe Wang, Qiulin Zhang, Wei Zhang, Chunjing Xu, Tong Zhang: Model Rubik's Cube: Twisting
Resolution, Depth and Width for TinyNets (2020). See docs/scaling.md.
"""

from nas.scaling.closing import WITHIN, Scaled
from nas.scaling.rule import Rule
from nas.scaling.rules import Rules
from nas.scaling.scale import Scaling, ScalingError, scale
from nas.scaling.study_file import write_study

__all__ = ["WITHIN", "Rule", "Rules", "Scaled", "Scaling", "ScalingError", "scale", "write_study"]
