"""The HTTP routes and sockets, one module per part of the contract."""
