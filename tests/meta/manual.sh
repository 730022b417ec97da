#!/bin/sh
# SPDX-License-Identifier: MIT
# manual.sh - the public headers are the manual, and it is complete.
#
# Before every function stands a comment with the six tags that knit/error.h explains, each
# with text, or "As knit_other():", which must exist and be documented itself. Every member
# of a struct, union or enum has a comment. So has every function-like macro, unless it
# stands for a function of its own name, or its name ends in "_": that is not for users.
. "$(dirname "$0")/common.sh"

sources include -- '*.h' | xargs awk -f "$meta/declarations.awk" > "$scratch/declarations"
[ -s "$scratch/declarations" ] || fail "found no declarations in include/"
awk -F '\t' '
BEGIN { count = split("Units Returns Errors Thread Suspends Ownership", tags, " ") }

# The text of a tag ends where the next one begins, whichever that is.
function text_of(comment, tag,    at, rest, i, next_at, end)
{
	at = match(comment, "(^|[^A-Za-z])" tag ":")
	if (!at)
		return ""
	rest = substr(comment, at + RLENGTH)
	end = length(rest) + 1
	for (i = 1; i <= count; i++) {
		next_at = match(rest, "(^|[^A-Za-z])" tags[i] ":")
		if (next_at && next_at < end)
			end = next_at
	}
	rest = substr(rest, 1, end)
	gsub(/[^A-Za-z0-9@]/, "", rest)
	return rest
}

FNR == NR {
	if ($1 == "function") {
		known[$3] = 1
		if ($5 != "")
			comments[$3] = comments[$3] " " $5
	}
	next
}

# The function that a comment refers to for what it does not say.
function model(comment,    name)
{
	if (!match(comment, /As knit_[a-z0-9_]+\(\)[:,]/))
		return ""
	name = substr(comment, RSTART + 3, RLENGTH - 6)
	return name
}

$1 == "function" {
	if ($5 == "") {
		print $2 ": " $3 "() has no comment"
		next
	}
	like = model($5)
	for (depth = 0; like != "" && depth < 8; depth++) {
		if (!(like in known)) {
			print $2 ": " $3 "() refers to " like "(), which does not exist"
			next
		}
		last = like
		like = like == $3 ? "" : model(comments[like])
	}
	inherits = model($5) != "" && model($5) != $3
	for (i = 1; i <= count; i++) {
		if (text_of($5, tags[i]) != "")
			continue
		if (inherits && text_of(comments[last], tags[i]) != "")
			continue
		if (inherits && text_of(comments[model($5)], tags[i]) != "")
			continue
		print $2 ": " $3 "() does not say " tags[i] ":"
	}
}
$1 == "member" && $4 == "no" { print $2 ": the member " $3 " has no comment" }
$1 == "macro" && $4 == "no" && !($3 in known) && $3 !~ /_$/ { print $2 ": the macro " $3 "() has no comment" }
' "$scratch/declarations" "$scratch/declarations" > "$scratch/found"
while read -r line; do fail "$line"; done < "$scratch/found"
finish
