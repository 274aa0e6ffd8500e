"""Tests; a package only so that `python -m tests.sim` finds it before what others install."""
