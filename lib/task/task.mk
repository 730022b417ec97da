# lib/task: sources and headers, one a line.
task_sources =
