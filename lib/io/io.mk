# lib/io: sources and headers, one a line.
io_sources = \
	lib/io/cached.c \
	lib/io/close.c \
	lib/io/close.h \
	lib/io/descriptor.c \
	lib/io/listen.c \
	lib/io/listener.c \
	lib/io/operation.c \
	lib/io/operation.h \
	lib/io/reader.c \
	lib/io/socket.c
