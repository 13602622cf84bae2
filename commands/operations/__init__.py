"""What is done to the systems that are operated: one file a kind of system."""
