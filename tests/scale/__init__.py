"""The mesh at the size of hundreds of peers: real routers, a virtual clock."""
