# knit-echo: sources and headers, one a line.
echo_sources = \
	tools/echo/http.c \
	tools/echo/http.h \
	tools/echo/main.c \
	tools/echo/options.c \
	tools/echo/options.h \
	tools/echo/request.c \
	tools/echo/request.h \
	tools/echo/server.c \
	tools/echo/server.h
