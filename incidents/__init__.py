"""What an incident is: events, decisions and due times; pure, without I/O and without a clock."""
