"""The ``weave-ryu`` command. Talks to the daemon by HTTP only, never imports the shell."""
