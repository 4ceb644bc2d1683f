"""What breaks: frozen records, one file per lever, and the contracts they pull on."""
