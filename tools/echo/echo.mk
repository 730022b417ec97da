# knit-echo: sources and headers, one a line.
echo_sources = \
	tools/echo/main.c \
	tools/echo/options.c \
	tools/echo/options.h \
	tools/echo/server.c \
	tools/echo/server.h
