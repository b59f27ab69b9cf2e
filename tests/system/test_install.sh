#!/bin/bash
# make install: samples and manuals name the directories of the build, and the files
# that they name are installed.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need make

# install_to PREFIX BINDIR SYSCONFDIR DATADIR: into $root; the
# directories are what ./configure with these options gives make.
install_to() {
	root=$scratch/root
	installed=$root$4
	rm -rf "$root"
	install_over "$@"
}

install_over() {
	env -u MAKEFLAGS make -C "$HEALTH_BUILDDIR" install DESTDIR="$root" prefix="$1" \
		bindir="$2" sysconfdir="$3" docdir="$4/doc/health-fcgi" \
		mandir="$4/man" >"$scratch/log/install" 2>&1 || fail install
}

# named PREFIX: the paths below it that installed text names
named() {
	grep -rhoE "$1/[[:alnum:]._/-]*[[:alnum:]]" "$installed" | sort -u
}

# assert_there PATH: it is installed; the user writes what is in etc/health-fcgi
assert_there() {
	[[ -e $root$1 ]] ||
		[[ $1 == */etc/health-fcgi/* && -d $root${1%/*} ]] ||
		fail "$1 is not there"
}

test_another_prefix() {
	local path

	install_to /x /x/bin /x/etc /x/share
	assertEquals 'the default prefix' '' \
		"$(grep -rn /usr/local "$installed")"
	# Samples for containers use the container's /etc.
	assertEquals 'another place for the configuration' '' \
		"$(grep -rnE '(^|[^x])/etc/health' "$installed" \
			--exclude-dir=docker --exclude-dir=kubernetes \
			--exclude-dir=azure --exclude=NEWS.md)"
	for path in $(named /x); do
		assert_there "$path"
	done
	assertContains "$(named /x)" /x/bin/health.fcgi
	assertContains "$(named /x)" /x/etc/health-fcgi/health.conf
	assertContains "$(named /x)" \
		/x/share/doc/health-fcgi/examples/nginx/health.conf
	assertTrue 'the program' "[ -x '$root/x/bin/health.fcgi' ]"
}

# As a distribution has them.
test_directories_of_their_own() {
	install_to /usr /usr/libexec /etc /usr/share
	assertEquals 'the default prefix' '' \
		"$(grep -rn /usr/local "$installed")"
	assertEquals \
		'ExecStart=/usr/libexec/health.fcgi --config /etc/health-fcgi/health.conf' \
		"$(grep ^ExecStart= \
			"$installed/doc/health-fcgi/examples/systemd/health.service")"
	assertTrue '/etc/health-fcgi' "[ -d '$root/etc/health-fcgi' ]"
}

# One that begins as the default does.
test_a_prefix_below_the_default() {
	local path

	install_to /usr/local/health /usr/local/health/bin \
		/usr/local/health/etc /usr/local/health/share
	for path in $(named /usr/local); do
		assertContains "$path" /usr/local/health/
		assertNotContains "$path" /health/health/
		assert_there "$path"
	done
}

# The source directory has them as a plain ./configure installs them, also when
# they are installed a second time.
test_defaults() {
	local file from

	install_to /usr/local /usr/local/bin /usr/local/etc /usr/local/share
	for file in $(cd "$installed/doc/health-fcgi" && find . -type f); do
		from=$HEALTH_SRCDIR/${file#./}
		[ -e "$from" ] || from=$HEALTH_SRCDIR/${file#./examples/}
		assertEquals "$file" '' \
			"$(diff "$from" "$installed/doc/health-fcgi/$file")"
	done
	cp -a "$installed" "$scratch/before"
	install_over /usr/local /usr/local/bin /usr/local/etc /usr/local/share
	assertEquals '' "$(diff -r "$scratch/before" "$installed")"
}

. "$SHUNIT2"
