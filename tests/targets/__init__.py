"""Real targets against real servers: what they show, change, refuse, and make of faults."""
