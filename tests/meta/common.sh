# SPDX-License-Identifier: MIT
# common.sh - what the checks share; each begins with `. "$(dirname "$0")/common.sh"`.
#
# A check looks at the tree $top_srcdir (default: the one it lies in), says what is wrong
# line by line, and ends with `finish`. `make check` tells it where the build is, and the
# self-test points it at small trees that are wrong on purpose.

set -u
LC_ALL=C
export LC_ALL
check=$(basename "$0" .sh)
meta=$(cd "$(dirname "$0")" && pwd)
src=$(cd "${top_srcdir:-$meta/../..}" && pwd)
build=$(cd "${top_builddir:-.}" && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/knit-$check.XXXXXX") || exit 99
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP
cd "$src" || exit 99

# Failures are lines in a file, since a loop at the end of a pipe runs in a shell of its own.
fail()
{
	echo "$check: $*" | tee -a "$scratch/failures"
}

skip()
{
	echo "$check: skipped: $*"
	exit 77
}

# The checked part of the project: tracked files of these kinds, generated folders left out.
# usage: sources FOLDER... -- NAME-PATTERN...
sources()
{
	folders= patterns=
	while [ "$1" != -- ]; do
		[ ! -d "$1" ] || folders="$folders $1"
		shift
	done
	shift
	for pattern; do
		patterns="$patterns -o -name $pattern"
	done
	[ -n "$folders" ] || return 0
	set -f
	# shellcheck disable=SC2086
	find $folders \( -path tools/build-aux -o -path tools/m4 \) -prune -o \
		-type f \( ${patterns# -o } \) -print | sort
	set +f
}

finish()
{
	if [ -s "$scratch/failures" ]; then
		echo "$check: 0 passed, 1 failed"
		exit 1
	fi
	echo "$check: 1 passed, 0 failed"
	exit 0
}
