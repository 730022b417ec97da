# The library: one fragment a layer, each naming its files one by one, lowest layer first.

include $(top_srcdir)/lib/base/base.mk
include $(top_srcdir)/lib/fiber/fiber.mk
include $(top_srcdir)/lib/engine/engine.mk
include $(top_srcdir)/lib/loop/loop.mk
include $(top_srcdir)/lib/task/task.mk
include $(top_srcdir)/lib/sync/sync.mk
include $(top_srcdir)/lib/io/io.mk

# Every object is compiled once, into a library that is not installed. Tests link it, so that
# they reach the kn_ names, which the installed library hides.
noinst_LTLIBRARIES = libknit-core.la
libknit_core_la_SOURCES = $(base_sources) $(fiber_sources)
if FIBER_X86_64
libknit_core_la_SOURCES += $(fiber_x86_64_sources)
endif
if FIBER_AARCH64
libknit_core_la_SOURCES += $(fiber_aarch64_sources)
endif
if FIBER_UCONTEXT
libknit_core_la_SOURCES += $(fiber_ucontext_sources)
endif
if ENGINE
libknit_core_la_SOURCES += $(engine_sources) $(loop_sources) $(task_sources) $(sync_sources) \
	$(io_sources)
libknit_core_la_LIBADD = $(URING_LIBS)

lib_LTLIBRARIES = libknit.la
# Empty on purpose: unset, automake would look for libknit.c.
libknit_la_SOURCES =
libknit_la_LIBADD = libknit-core.la
# A thread's end, a fork and a signal may call into the library at any time: it stays (nodelete).
# current:revision:age, by libtool's rules. 0:0:0 until the first release.
libknit_la_LDFLAGS = $(AM_LDFLAGS) $(STRICT_LINK_FLAGS) -version-info 0:0:0 \
	-Wl,--version-script=$(top_srcdir)/lib/libknit.map -Wl,-z,nodelete
EXTRA_libknit_la_DEPENDENCIES = $(top_srcdir)/lib/libknit.map

pkgconfig_DATA = lib/knit.pc
include_HEADERS = include/knit.h
knitincludedir = $(includedir)/knit
knitinclude_HEADERS = $(public_headers)
endif

# Installed as <knit/NAME.h>.
public_headers = \
	include/knit/context.h \
	include/knit/debug.h \
	include/knit/error.h \
	include/knit/executor.h \
	include/knit/file.h \
	include/knit/group.h \
	include/knit/loop.h \
	include/knit/macros.h \
	include/knit/queue.h \
	include/knit/runner.h \
	include/knit/reader.h \
	include/knit/socket.h \
	include/knit/sync.h \
	include/knit/task.h \
	include/knit/thread.h \
	include/knit/time.h \
	include/knit/timeout.h \
	include/knit/wait.h

EXTRA_DIST += lib/libknit.map include/knit.h $(public_headers) include/README.md lib/README.md \
	lib/base/README.md lib/fiber/README.md lib/engine/README.md lib/loop/README.md \
	lib/task/README.md lib/sync/README.md lib/io/README.md
