"""The proof that squall finds what it is for: flawed servers, and sound ones that it must spare."""
