"""The control port: HTTP in, proxies and toxics set up and shown."""
