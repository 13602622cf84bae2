"""Every chat, store and target holds what its port promises: one suite a kind."""
