"""What brings docker-compose.yml up for a test: an engine, and parts where none can be pulled."""
