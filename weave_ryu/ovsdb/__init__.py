"""The desired bridge, ports and tunnels as data, and what to change to get there."""
