"""The only place with sockets, clocks, green threads, ryu and eventlet."""
