"""The lab: peers, containers and a segment in network namespaces, on real Open vSwitch."""
