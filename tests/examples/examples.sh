#!/bin/sh
# Runs each example and compares what it prints with what it must print, to the letter.
set -u
status=0

expect() { # NAME ARGUMENTS: the expected text comes on stdin
	name=$1
	shift
	expected=$(cat)
	printed=$("$top_builddir/tests/examples/$name" "$@" 2>&1)
	code=$?
	if [ "$code" -ne 0 ] || [ "$printed" != "$expected" ]; then
		echo "FAIL: $name $* (exit status $code) printed:"
		printf '%s\n' "$printed"
		echo "instead of:"
		printf '%s\n' "$expected"
		status=1
	else
		echo "ok: $name $*"
	fi
}

expect work <<-END
	done
END

three="a: started
b: started
c: started
b: finished
a: finished
c: finished"

expect three --virtual <<-END
	$three
END

# Once on the real clock, which takes 1.5 s.
expect three <<-END
	$three
END

expect loops <<-END
	loop 0: 2 squared is 4
	loop 1: 3 squared is 9
	loop 2: 4 squared is 16
	the ball was passed 6 times
	a plain thread: 12 squared is 144
END

exit $status
