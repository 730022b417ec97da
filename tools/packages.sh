# SPDX-License-Identifier: MIT
# packages.sh - shared by tools/quickstart and tools/check: installs what is missing.

# The Debian packages that are wanted but missing; filled by want().
missing=

# usage: want PACKAGE COMMAND... - if COMMAND fails, PACKAGE is missing.
want()
{
	wanted=$1
	shift
	"$@" > /dev/null 2>&1 || missing="$missing $wanted"
}

have()
{
	command -v "$1" > /dev/null 2>&1
}

# Compiles and links a trivial program: shows that the compiler has its libc beside it.
# usage: compiles COMPILER FLAG...
compiles()
{
	have "$1" && echo 'int main(void) { return 0; }' | "$@" -xc - -include stdio.h -o /dev/null
}

# Installs what want() found missing, by apt-get, as root or through sudo.
install_missing()
{
	[ -n "$missing" ] || return 0
	if ! have apt-get; then
		echo "These Debian packages, or what another system calls them, are missing:$missing"
		echo "There is no apt-get here: please install them first."
		return 1
	fi
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		if ! have sudo; then
			echo "Missing packages:$missing"
			echo "To install them this has to be run by root, or sudo has to be there."
			return 1
		fi
		as_root=sudo
	fi
	echo "Installing:$missing"
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update &&
		$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
			--no-install-recommends $missing
	installed=$?
	missing=
	return $installed
}

want_build_tools()
{
	want gcc have gcc
	want libc6-dev compiles gcc
	want make have make
	want autoconf have autoconf
	want automake have automake
	want libtool have libtoolize
	want pkg-config have pkg-config
	want liburing-dev pkg-config --exists liburing
}
