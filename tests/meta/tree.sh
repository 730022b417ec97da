#!/bin/sh
# SPDX-License-Identifier: MIT
# tree.sh - the shape of the source tree: sizes, READMEs, lists of files, leftovers.
. "$(dirname "$0")/common.sh"

file_lines=650 function_lines=80

# Sizes. A function begins with a brace in the first column and ends with one.
sources lib tools -- '*.c' '*.h' '*.S' | while read -r file; do
	lines=$(wc -l < "$file")
	[ "$lines" -le $file_lines ] || fail "$file has $lines lines, more than $file_lines"
done
sources lib tools tests -- '*.c' '*.h' | xargs awk -v limit=$function_lines '
/^\{/ { start = FNR }
/^\}/ {
	if (start && FNR - start + 1 > limit)
		printf "%s:%d: a function of %d lines, more than %d\n", FILENAME, start, \
			FNR - start + 1, limit
	start = 0
}
FNR == 1 { start = 0 }' > "$scratch/found"

sources lib include tests tools -- '*.[chS]' '*.cpp' | while read -r file; do
	head -n 1 "$file" | grep -qxF '/* SPDX-License-Identifier: MIT */' ||
		fail "$file does not begin with the licence line"
done

# A README of its own in every folder that a reader walks through.
for folder in include lib tests tools lib/* tests/*; do
	[ -d "$folder" ] || continue
	[ -s "$folder/README.md" ] || fail "$folder has no README.md"
done

# Leftovers. The words are put together here, so that this file does not contain them. The
# text of ENOSYS is none.
words="TO""DO|FIX""ME|X""XX|not"" implemented"
{
	sources lib include tests tools -- '*.[chS]' '*.cpp' '*.sh' '*.md' '*.mk' '*.awk' '*.map'
	find tools .ci -maxdepth 1 -type f 2> /dev/null
	ls configure.ac Makefile.am README.md 2> /dev/null
} | sort -u | xargs grep -nwE "$words" /dev/null |
	grep -v 'ENOSYS' >> "$scratch/found"
while read -r line; do fail "$line"; done < "$scratch/found"

# Every C file is named in a fragment of the makefile, and every one that is named exists.
if [ -e Makefile.am ]; then
	sources lib include tests tools -- '*.[chS]' '*.cpp' > "$scratch/exist"
	{
		sources lib tests tools -- '*.mk'
		echo Makefile.am
	} | xargs sed 's/#.*//' | grep -oE '(lib|include|tests|tools)/[A-Za-z0-9_./-]+\.([chS]|cpp)\b' |
		sort -u > "$scratch/named"
	comm -23 "$scratch/exist" "$scratch/named" | while read -r file; do
		fail "$file is in no makefile fragment"
	done
	comm -13 "$scratch/exist" "$scratch/named" | while read -r file; do
		fail "$file is in a makefile fragment but does not exist"
	done
fi

# The top level of the repository.
if [ -e .git ] && command -v git > /dev/null; then
	git ls-files 2> /dev/null | cut -d / -f 1 | sort -u | while read -r name; do
		case $name in
		.* | lib | include | tests | tools) ;;
		configure.ac | Makefile.am | README.md | LICENSE) ;;
		*) fail "$name does not belong into the top level" ;;
		esac
	done
fi
finish
