#!/bin/bash
# tests/lint/layers.sh accepts the source as it is, and reports each kind of wrong
# include.
# shellcheck disable=SC2119,SC2120,SC2154,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"

layers() {
	"$HEALTH_SRCDIR/tests/lint/layers.sh" "$scratch"
}

setUp() {
	rm -rf "$scratch/src"
	cp -r "$HEALTH_SRCDIR/src" "$scratch/src"
}

# plant FILE INCLUDE WORDS: with this include in FILE, it reports WORDS.
plant() {
	echo "#include $2" >>"$scratch/src/$1"
	assertFalse "$1 with $2" layers
	assertContains "$1 with $2" "$(layers)" "$3"
	setUp
}

test_source_as_it_is() {
	assertEquals '' "$(layers)"
	assertTrue layers
}

test_later_layer() {
	plant base/log.c '"io/loop.h"' \
		'base must not include io/loop.h: io is a later layer'
	plant answer/answer.h '"app/settings.h"' 'app is a later layer'
	plant kinds/http/http.c '"board/board.h"' 'board is a later layer'
}

test_private_header() {
	plant prober/prober.c '"io/resolve_dns.h"' \
		'io/resolve_dns.h is private to io'
	plant kinds/http/http.c '"kinds/redis/redis_url.h"' \
		'kinds/redis/redis_url.h is private to kinds/redis'
}

test_library() {
	plant answer/answer.c '<curl/curl.h>' \
		'<curl/curl.h> must not be included in answer'
	plant kinds/redis/redis.c '<libpq-fe.h>' 'in kinds/redis'
}

test_circle() {
	echo '#include "base/clock.h"' >>"$scratch/src/base/log.h"
	plant base/clock.h '"base/log.h"' 'include each other in a circle'
}

test_wrong_place() {
	plant stray.c '<stdio.h>' 'no file stands directly in src'
	mkdir "$scratch/src/other"
	plant other/stray.c '<stdio.h>' 'other is in no row of the table'
	plant app/main.c '"text.h"' 'there is no src/text.h'
}

. "$SHUNIT2"
