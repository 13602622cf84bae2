"""Tests of the process: chats, web pages, store."""
