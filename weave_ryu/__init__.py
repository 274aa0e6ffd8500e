"""Redundant layer-2 gateways between a Weave overlay mesh and a real VLAN."""

__version__ = "0.1.0"
