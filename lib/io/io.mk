# lib/io: sources and headers, one a line.
io_sources =
