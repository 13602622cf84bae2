"""Everything that Watchbell serves over HTTP, one file a concern; `server.build` puts it together."""
