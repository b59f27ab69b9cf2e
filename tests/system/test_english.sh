#!/bin/bash
# tests/lint/english.sh accepts the source as it is, and reports the phrases that
# it knows, in comments and strings, also across lines.
# shellcheck disable=SC2119,SC2120,SC2154,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"

english() {
	"$HEALTH_SRCDIR/tests/lint/english.sh" "$scratch"
}

setUp() {
	local part

	for part in src tests docs man README.md SECURITY.md CONTRIBUTING.md; do
		rm -rf "${scratch:?}/$part"
		cp -r "$HEALTH_SRCDIR/$part" "$scratch/$part"
	done
}

# plant TEXT WORDS [FILE]: the text at the end of FILE is reported.
plant() {
	local said

	printf '%s\n' "$1" >>"$scratch/${3:-src/base/log.c}"
	said=$(english)
	assertEquals "$1" 1 $?
	assertContains "$1" "$said" "$2"
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

test_tests_and_manuals() {
	plant '# Nobody listens.' '"nobody"; say: no process' tests/lib.sh
	plant "assertTrue 'who waits' false" '"who"' tests/system/deps.sh
	plant '/* This is no peer. */' '"is no"' tests/unit/unit.h
	plant 'It is kept in a folder.' '"folder"; say: directory' \
		docs/tuning.md
	plant 'It is kept in vain.' '"in vain"' man/health.fcgi.8
	plant 'He waits.' '"he"; say: it' README.md
}

test_others_pass() {
	allow '/* There is no room, it is no longer open, there are none. */'
	allow 'static const char *whose_peer(void);'
	allow '/* The hero himalaya, and others of usefulness. */'
}

. "$SHUNIT2"
