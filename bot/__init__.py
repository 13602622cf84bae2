"""The process: chat platforms, targets, the store, the web pages and the command line."""
