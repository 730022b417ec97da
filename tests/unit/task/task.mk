# The unit tests of lib/task, one file a line.
task_tests =
