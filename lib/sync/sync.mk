# lib/sync: sources and headers, one a line.
sync_sources = \
	lib/sync/barrier.c \
	lib/sync/condition.c \
	lib/sync/event.c \
	lib/sync/items.c \
	lib/sync/items.h \
	lib/sync/lock.c \
	lib/sync/lock.h \
	lib/sync/queue.c \
	lib/sync/semaphore.c \
	lib/sync/waiters.c \
	lib/sync/waiters.h
