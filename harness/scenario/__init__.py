"""Scenario files: read at one door, checked whole, frozen."""
