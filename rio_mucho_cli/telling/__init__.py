"""What a run tells those who watch it, or read of it afterwards."""
