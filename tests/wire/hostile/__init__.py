"""Servers that mean harm: a corpus of replies with what is to be made of each, and a fuzzer."""
