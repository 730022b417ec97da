#!/bin/sh
# SPDX-License-Identifier: MIT
# layers.sh - a file includes headers of its own layer and of lower ones only.
#
# Public headers know only each other and libc; liburing is known to the engine alone.
. "$(dirname "$0")/common.sh"

sources lib include -- '*.c' '*.h' '*.S' | xargs awk '
BEGIN {
	count = split("base fiber engine loop task sync io runtime inspect", names, " ")
	for (i = 1; i <= count; i++)
		rank[names[i]] = i
	split("assert ctype errno inttypes limits netdb poll pthread sched signal stdarg stdbool " \
	      "stddef stdint stdio stdlib string time unistd", plain, " ")
	for (i in plain)
		libc[plain[i] ".h"] = 1
}
function bad(text) { printf "%s:%d: %s\n", FILENAME, FNR, text }
/^[ \t]*#[ \t]*include/ {
	name = $0
	sub(/^[ \t]*#[ \t]*include[ \t]*/, "", name)
	quoted = name ~ /^"/
	sub(/^["<]/, "", name)
	sub(/[">].*$/, "", name)
	split(FILENAME, path, "/")
	split(name, part, "/")
	if (path[1] == "include") {
		if (name ~ /^knit\/[a-z_]+\.h$/ && !quoted)
			next
		if (quoted || !(name in libc || name ~ /^(sys|netinet|linux)\//))
			bad("a public header includes " name)
		next
	}
	layer = path[2]
	if (!(layer in rank))
		bad("lib/" layer " is not a layer")
	else if (name == "config.h")
		next
	else if (name ~ /^liburing/ && layer != "engine")
		bad("only lib/engine may include " name)
	else if (name ~ /^(valgrind|sanitizer)\// || name ~ /^knit(\/[a-z_]+)?\.h$/)
		next
	else if (quoted && !(part[1] in rank && name ~ /\//))
		bad("\"" name "\" does not name a layer")
	else if (quoted && rank[part[1]] > rank[layer])
		bad("lib/" layer " includes " name ", which is above it")
}' > "$scratch/found"
while read -r line; do fail "$line"; done < "$scratch/found"
finish
