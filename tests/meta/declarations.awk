# SPDX-License-Identifier: MIT
# declarations.awk - lists what the public headers declare, one line each, tab-separated:
#
#   function  FILE:LINE  NAME  api|inline  COMMENT    COMMENT stands before it; may be empty
#   member    FILE:LINE  NAME  yes|no                 of a struct, union or enum; has a comment?
#   macro     FILE:LINE  NAME  yes|no                 a function-like one; has a comment?
#
# It reads C as our headers write it: no strings with comment signs, one statement after
# the other. The comment of a statement is the last one before its first word; that of a
# member starts on its line or ends on a line of its own since the member before.

function flush_member()
{
	if (member != "")
		printf "member\t%s:%d\t%s\t%s\n", FILENAME, member_line, member, documented ? "yes" : "no"
	member = ""
}

function end_member(text)
{
	flush_member()
	sub(/[ \t]*=.*$/, "", text)
	sub(/(\[[^]]*\])+[ \t]*$/, "", text)
	if (text ~ /\(\*[a-z_0-9]+\)/) {
		sub(/^.*\(\*/, "", text)
		sub(/\).*$/, "", text)
	}
	gsub(/[ \t]+$/, "", text)
	sub(/^.*[ \t*]/, "", text)
	if (text != "") {
		member = text
		member_line = FNR
		documented = above
	}
	above = 0
}

function end_statement(    kind, name)
{
	flush_member()
	kind = statement ~ /(^|[ \t])KNIT_API([ \t]|$)/ ? "api" : \
	       statement ~ /(^|[ \t])static inline([ \t]|$)/ ? "inline" : ""
	if (kind != "") {
		name = statement
		# KNIT_PRINTF(4, 5) and the like are not names; the first knit_ name with a bracket is.
		if (match(name, /knit_[a-z0-9_]+\)?[ \t]*\(/))
			name = substr(name, RSTART, RLENGTH)
		else
			sub(/[ \t]*[;=[].*$/, "", name)
		gsub(/[ \t()]+$/, "", name)
		sub(/^.*[ \t*]/, "", name)
		printf "function\t%s:%d\t%s\t%s\t%s\n", FILENAME, statement_line, name, kind, comment
	}
	statement = comment = pending = ""
	typed = brace = 0
}

function code(text,    i, c)
{
	for (i = 1; i <= length(text); i++) {
		c = substr(text, i, 1)
		if (statement == "") {
			if (c == " " || c == "\t" || c == ";" || c == "}")
				continue
			comment = pending
			pending = ""
			statement_line = FNR
		}
		statement = statement c
		if (c == "{" && statement == "extern \"C\" {") {
			statement = ""
			pending = comment
		} else if (c == "{") {
			if (++brace == 1)
				typed = statement !~ /\)[ \t]*\{$/
			item = ""
			above = 0
		} else if (c == "}") {
			brace--
			if (typed && item ~ /[^ \t]/)
				end_member(item)
			item = ""
			if (brace == 0 && !typed)
				end_statement()
		} else if (c == "(") {
			round++
			item = item c
		} else if (c == ")") {
			round--
			item = item c
		} else if (brace == 0 && c == ";") {
			end_statement()
		} else if (brace > 0 && typed && !round && (c == ";" || c == ",")) {
			end_member(item)
			item = ""
		} else {
			item = item c
		}
	}
	if (statement != "")
		statement = statement " "
}

FNR == 1 {
	flush_member()
	statement = comment = pending = item = ""
	brace = round = inside = continued = 0
}

{
	line = $0
	if (continued || (!inside && line ~ /^[ \t]*#/)) {
		if (!continued && match(line, /^[ \t]*#[ \t]*define[ \t]+knit_[a-z0-9_]+\(/)) {
			name = line
			sub(/^[ \t]*#[ \t]*define[ \t]+/, "", name)
			sub(/\(.*$/, "", name)
			printf "macro\t%s:%d\t%s\t%s\n", FILENAME, FNR, name, pending != "" ? "yes" : "no"
		}
		continued = line ~ /\\$/
		pending = ""
		next
	}
	if (line ~ /^(KNIT_BEGIN_DECLS|KNIT_END_DECLS)$/)
		next
	while (line != "") {
		if (inside) {
			stop = index(line, "*/")
			text = stop ? substr(line, 1, stop - 1) : line
			sub(/^[ \t]*\*/, "", text)
			said = said " " text
			line = stop ? substr(line, stop + 2) : ""
			if (stop) {
				inside = 0
				gsub(/[ \t]+/, " ", said)
				if (brace == 0)
					pending = said
				else if (begun != member_line || member == "")
					above = 1
			}
			continue
		}
		start = index(line, "/*")
		code(start ? substr(line, 1, start - 1) : line)
		if (!start)
			break
		inside = 1
		said = ""
		begun = FNR
		if (member != "" && FNR == member_line)
			documented = 1
		line = substr(line, start + 2)
	}
}

END {
	flush_member()
}
