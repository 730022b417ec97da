# lib/task: sources and headers, one a line.
task_sources = \
	lib/task/as_completed.c \
	lib/task/aside.c \
	lib/task/await.c \
	lib/task/blocking.c \
	lib/task/blocking.h \
	lib/task/cancellation.c \
	lib/task/concurrent.c \
	lib/task/concurrent.h \
	lib/task/factory.c \
	lib/task/future.c \
	lib/task/gather.c \
	lib/task/group.c \
	lib/task/group.h \
	lib/task/leftovers.c \
	lib/task/map.c \
	lib/task/object.c \
	lib/task/race.c \
	lib/task/run.c \
	lib/task/run_on.c \
	lib/task/runner.c \
	lib/task/runner.h \
	lib/task/scope.c \
	lib/task/scope.h \
	lib/task/several.c \
	lib/task/several.h \
	lib/task/shield.c \
	lib/task/step.c \
	lib/task/task.c \
	lib/task/task.h \
	lib/task/threadsafe.c \
	lib/task/timeout.c \
	lib/task/wait.c \
	lib/task/wait_set.c \
	lib/task/wait_set.h
