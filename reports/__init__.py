"""Renderers: each reads one finished report and computes nothing."""
