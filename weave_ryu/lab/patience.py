"""How long the lab itself waits for things: longer on a machine that is slower than most.

On an emulated processor everything takes ten times as long, and a time limit that is generous
elsewhere is none there. The limits of the lab and of the tests that use it are stretched by one
factor. What the product promises is not: a bound that is held against a measurement stays as it is.
"""

from __future__ import annotations

import math
import os
from typing import Final

from weave_ryu.errors import ConfigError

VARIABLE: Final = "WEAVE_RYU_LAB_PATIENCE"
_MOST: Final = 1000.0


def stretched(seconds: float) -> float:
    """A time limit or a pause of the harness, on this machine.

    Raises:
        ConfigError: the variable holds no factor.
    """
    return seconds * _factor(os.environ.get(VARIABLE, "1"))


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 1.0 <= factor <= _MOST:
        reason = f"must be a number from 1 to {_MOST:.0f}: how much slower this machine is"
        raise ConfigError(VARIABLE, text, reason)
    return factor
