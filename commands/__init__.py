"""What people can ask for."""
