"""What only developers run: building the drain and the wheels."""
