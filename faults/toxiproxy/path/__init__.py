"""The way of the bytes: links between sockets, and the toxics in them."""
