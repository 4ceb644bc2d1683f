"""Tests of the bundled server, over real sockets."""
