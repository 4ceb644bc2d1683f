"""A Toxiproxy server, whichever one there is: started or found, driven, and left as it was."""
