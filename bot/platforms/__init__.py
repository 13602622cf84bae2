"""The chats, one file each; only the configured ones are loaded."""
