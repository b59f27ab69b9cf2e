#!/bin/bash
# tests/lint/english.sh says nothing of the source as it is, and complains of a
# phrase that it knows, in comments and strings, also across lines.
# shellcheck disable=SC2119,SC2120,SC2154,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"

english() {
	"$HEALTH_SRCDIR/tests/lint/english.sh" "$scratch"
}

setUp() {
	rm -rf "$scratch/src"
	cp -r "$HEALTH_SRCDIR/src" "$scratch/src"
}

# plant TEXT WORDS: at the end of a file, the text is complained of.
plant() {
	printf '%s\n' "$1" >>"$scratch/src/base/log.c"
	assertFalse "$1" english
	assertContains "$1" "$(english)" "$2"
	setUp
}

# allow TEXT
allow() {
	printf '%s\n' "$1" >>"$scratch/src/base/log.c"
	assertEquals "$1" '' "$(english)"
	setUp
}

test_source_as_it_is() {
	assertEquals '' "$(english)"
	assertTrue english
}

test_comments() {
	plant '/* Whoever reads this waits. */' '"whoever"; say: the process'
	plant '/* What is written here is none. */' '"is none"; say: is not one'
	plant $'/* A lock that is held\n * in vain. */' '"in vain"'
	plant $'/*\n * Memory is\n * to be had.\n */' '"to be had"'
}

test_strings() {
	plant 'log_err("no thread for want of memory");' '"for want of"'
	plant $'log_err("the thread does not come "\n\t"to an end\\n");' \
		'"come to an end"'
	plant 'log_err("this is no host");' '"is no"; say: is not a'
}

test_others_pass() {
	allow '/* There is no room, it is no longer open, there are none. */'
	allow 'static const char *whose_peer(void);'
	allow '/* The hero himalaya, and others of usefulness. */'
}

. "$SHUNIT2"
