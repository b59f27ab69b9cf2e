#!/bin/bash
# The program is hardened whatever flags the builder sets: flags of the builder,
# those of Debian's packages, which define _FORTIFY_SOURCE, too, and those of
# another compiler.
#
# Builds several times, so it takes minutes: `make check-slow`.
# shellcheck disable=SC2317
export HEALTH_TEST_LIMIT=${HEALTH_TEST_LIMIT:-1200}
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need make readelf
[ ! -e "$HEALTH_SRCDIR/config.status" ] ||
	skip "builds cannot be made elsewhere: the source directory is configured"

# build NAME OPTION-FOR-CONFIGURE... [-- OPTION-FOR-MAKE...]
build() {
	local name=$1 options=()

	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	mkdir "$scratch/$name"
	(
		cd "$scratch/$name" &&
			"$HEALTH_SRCDIR/configure" -q --enable-werror \
				"${options[@]}" &&
			make -s -j 2 src/health.fcgi "$@"
	) >"$scratch/log/$name" 2>&1 || fail "$name: no build"
}

# look NAME: sets $said and $status
look() {
	said=$(HEALTH=$scratch/$1/src/health.fcgi HEALTH_BUILDDIR=$scratch/$1 \
		bash "$HEALTH_SRCDIR/tests/lint/hardening.sh" 2>&1)
	status=$?
}

hardened() {
	build "$@" --
	look "$1"
	assertEquals "$1: $said" 0 "$status"
}

test_own_flags() {
	hardened own 'CFLAGS=-O1' 'LDFLAGS=-Wl,--as-needed'
}

test_flags_of_a_package() {
	hardened package \
		'CFLAGS=-g -O2 -fstack-protector-strong -Wformat -Werror=format-security' \
		'CPPFLAGS=-Wdate-time -D_FORTIFY_SOURCE=2' \
		'LDFLAGS=-Wl,-z,relro'
}

test_fortified_in_cflags() {
	hardened cflags 'CFLAGS=-O2 -D_FORTIFY_SOURCE=2'
}

# glibc fortifies nothing then, and warns when it is told to.
test_not_optimised() {
	hardened plain 'CFLAGS=-g -O0'
}

test_clang() {
	! command -v clang >/dev/null || hardened clang CC=clang
}

test_sees_what_is_missing() {
	local words

	build bare -- HEALTH_CPPFLAGS= HEALTH_CFLAGS=-std=gnu11 \
		HEALTH_LDFLAGS='-no-pie -Wl,-z,norelro,-z,lazy,-z,execstack'
	look bare
	assertEquals 1 "$status"
	for words in 'position independent' 'no RELRO' 'no BIND_NOW' \
		'stack is executable' 'no stack protector' \
		'no _FORTIFY_SOURCE' 'no -fcf-protection'; do
		assertContains "$said" "$words"
	done
}

. "$SHUNIT2"
