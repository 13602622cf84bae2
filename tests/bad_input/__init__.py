"""Whatever people and webhooks send: the whole bot answers with a sentence or does something, and goes on."""
