#!/bin/bash
# The program that was built, read by readelf(1): what hardens it is there,
# whatever CFLAGS the builder has set.

builddir=${HEALTH_BUILDDIR:-.}
program=${HEALTH:-$builddir/src/health.fcgi}

setting()
{
	sed -n "s/^$1 = //p" "$builddir/Makefile"
}

if ! command -v readelf >/dev/null; then
	echo "readelf is not installed"
	exit 77
fi
[ -x "$program" ] || {
	echo "$program: is not built"
	exit 1
}
# --disable-hardening, or a build with sanitizers
if [ "$(setting enable_hardening)" != yes ]; then
	echo "this build is not to be hardened"
	exit 77
fi

elf=$(readelf --wide --file-header --program-headers --dynamic --notes \
	--dyn-syms "$program") || exit
failed=0

# has PATTERN WORDS: some line has it
has()
{
	grep -qE "$1" <<<"$elf" || {
		echo "$program: $2"
		failed=1
	}
}

has '^ *Type: +DYN ' 'no position independent executable'
has 'FLAGS_1.* PIE' 'no position independent executable'
has '^ *GNU_RELRO ' 'no RELRO'
has '\((FLAGS|FLAGS_1)\).* (BIND_NOW|NOW)' \
	'no BIND_NOW: RELRO leaves the table of functions writable'
has '^ *GNU_STACK .* RW +0x' 'the stack is executable'
has ' __stack_chk_fail' 'no stack protector'
# Nothing is fortified without optimisation.
case " $(setting CFLAGS) " in
*' -O'[1-9sgf]*) has ' __[a-z]+_chk(@| |$)' 'no _FORTIFY_SOURCE' ;;
esac
# The linker keeps this note when all objects have it, those of libc too.
if readelf --notes "$builddir/libhealth.a" | grep -q 'x86 feature: '; then
	[ "$(readelf --notes "$builddir/libhealth.a" | grep -c IBT,.SHSTK)" = \
		"$(ar t "$builddir/libhealth.a" | wc -l)" ] || {
		echo "$builddir/libhealth.a: objects without -fcf-protection"
		failed=1
	}
elif [ "$(uname -m)" = x86_64 ]; then
	echo "$builddir/libhealth.a: no -fcf-protection"
	failed=1
fi
exit "$failed"
