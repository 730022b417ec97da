# The unit tests of lib/io, one file a line.
io_tests = \
	tests/unit/io/rig.c \
	tests/unit/io/rig.h \
	tests/unit/io/scenes.c \
	tests/unit/io/scenes.h \
	tests/unit/io/test_alone.c \
	tests/unit/io/test_cached.c \
	tests/unit/io/test_cancel.c \
	tests/unit/io/test_cancel_late.c \
	tests/unit/io/test_close.c \
	tests/unit/io/test_datagram.c \
	tests/unit/io/test_file.c \
	tests/unit/io/test_hosted.c \
	tests/unit/io/test_listener.c \
	tests/unit/io/test_listener_close.c \
	tests/unit/io/test_listener_faults.c \
	tests/unit/io/test_outside.c \
	tests/unit/io/test_poll.c \
	tests/unit/io/test_reader.c \
	tests/unit/io/test_sendall.c \
	tests/unit/io/test_stream.c
