# The tests of tools/knit-echo: the program, with knit-load and with clients of the tests' own.
if ENGINE
check_PROGRAMS += tests/integration/test-echo
program_tests += tests/integration/test-echo
endif
tests_integration_test_echo_SOURCES = \
	tests/integration/command.c \
	tests/integration/command.h \
	tests/integration/echo/test_echo.c \
	tests/integration/echo/test_http.c \
	tests/integration/echo/test_request.c \
	tests/integration/echo/test_shortage.c \
	tests/integration/echo/test_stream.c \
	tests/integration/echo/server.c \
	tests/integration/echo/server.h \
	tools/echo/request.c
tests_integration_test_echo_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_echo_LDADD = $(TEST_LIBS)
