"""Tests of `harness.session`."""
