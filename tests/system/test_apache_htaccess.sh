#!/bin/bash
# Apache as on shared hosting: only program, configuration and apache/htaccess are
# ours, and they are in the web space.
# htaccess_site sets variables named after the site.
# shellcheck disable=SC2154
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need_fcgid

# htaccess_site NAME FILE...: a web space, $scratch/NAME, whose .htaccess are
# these; its virtual host goes to standard output, and its address is $NAME
htaccess_site() {
	local name=$1 root=$scratch/$1

	shift
	declare -g "$name=http://127.0.0.1:$(free_port)"
	cp -a "$scratch/www" "$root"
	cp "$health_program"* "$scratch/health.conf" "$root/"
	cat "$@" >"$root/.htaccess"
	cat <<-END
		Listen ${!name#http://}
		<VirtualHost ${!name#http://}>
			DocumentRoot "$root"
			<Directory "$root">
				AllowOverride FileInfo AuthConfig
				Options +ExecCGI
				Require all granted
			</Directory>
		</VirtualHost>
	END
}

# As WordPress writes it
wordpress() {
	cat <<-'END'
		# BEGIN WordPress
		<IfModule mod_rewrite.c>
		RewriteEngine On
		RewriteRule .* - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]
		RewriteBase /
		RewriteRule ^index\.html$ - [L]
		RewriteCond %{REQUEST_FILENAME} !-f
		RewriteCond %{REQUEST_FILENAME} !-d
		RewriteRule . /index.html [L]
		</IfModule>
		# END WordPress
	END
}

# As Laravel ships it
laravel() {
	cat <<-'END'
		<IfModule mod_rewrite.c>
		    RewriteEngine On
		    RewriteCond %{HTTP:Authorization} .
		    RewriteRule .* - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]
		    RewriteCond %{REQUEST_FILENAME} !-d
		    RewriteCond %{REQUEST_URI} (.+)/$
		    RewriteRule ^ %1 [L,R=301]
		    RewriteCond %{REQUEST_FILENAME} !-d
		    RewriteCond %{REQUEST_FILENAME} !-f
		    RewriteRule ^ index.html [L]
		</IfModule>
	END
}

redirect() {
	cat <<-'END'
		RewriteEngine On
		RewriteRule ^ https://example.org/ [R=301,L]
	END
}

password() {
	cat <<-'END'
		AuthType Basic
		AuthName site
		AuthUserFile /dev/null
		Require valid-user
	END
}

mount_start() {
	local sample=$HEALTH_SRCDIR/apache/htaccess

	stock apache2 apache2 libapache2-mod-fcgid
	wordpress >"$scratch/wordpress"
	laravel >"$scratch/laravel"
	redirect >"$scratch/redirect"
	password >"$scratch/password"
	cat >"$scratch/errors" <<-END
		ErrorDocument 404 /error.html
		ErrorDocument 405 http://example.org/
		ErrorDocument 500 http://example.org/
		ErrorDocument 503 http://example.org/
	END
	sed '/^#<FilesMatch/,/^#<.Files/s/#//' "$sample" >"$scratch/opened.conf"
	# What OpenLiteSpeed takes of it
	sed '/^<Files/,/^<.Files/d; /^<If/,/^<.If/d' "$sample" >"$scratch/rewrite"
	{
		sed '/RewriteRule.*health\.fcgi/d' "$sample"
		echo 'RewriteRule ^health(/(ready|started))?$ health.fcgi [L]'
	} >"$scratch/dropping"
	{
		htaccess_site rewritten "$sample" "$scratch/wordpress"
		htaccess_site slashed "$sample" "$scratch/laravel"
		htaccess_site redirected "$sample" "$scratch/redirect"
		htaccess_site below "$scratch/wordpress" "$sample"
		htaccess_site below_laravel "$scratch/laravel" "$sample"
		htaccess_site closed "$sample" "$scratch/password"
		htaccess_site opened "$scratch/password" "$scratch/opened.conf"
		htaccess_site rules "$scratch/rewrite"
		htaccess_site dropped "$scratch/dropping"
	} >"$etc/apache2/sites-enabled/010-sites.conf"
	cp "$health_program"* "$scratch/health.conf" "$scratch/www/"
	cat "$sample" "$scratch/errors" >"$scratch/www/.htaccess"
	cat >"$scratch/site.conf" <<-END
		<Directory "$scratch/www">
			AllowOverride FileInfo AuthConfig
			Options +ExecCGI
		</Directory>
	END
	start_stock_apache "$scratch/site.conf" fcgid rewrite
}

# The names under which editors, backups and package tools keep a copy of the
# configuration, and the directories that are not for the web
private_names() {
	cat <<-'END'
		health.conf
		HEALTH.CONF
		Health.Conf.bak
		health.conf~
		health.conf.bak
		health.conf.save
		health.conf.orig
		health.conf.dpkg-old
		health.conf.2026-01-01
		.health.conf.swp
		.health.conf.swo
		.health.conf.un~
		#health.conf#
		.#health.conf
		health-old.conf
		health (copy).conf
		Copy of health.conf
		backup/health.conf
		health-lib/libfcgi.so.0
		health-private/db-password
		Health-Private/key.pem
	END
}

# assert_private URL DIRECTORY: each of them is in that site's DIRECTORY, and is
# refused
assert_private() {
	local name path dir=$2

	while IFS= read -r name; do
		mkdir -p "$(dirname "$dir/$name")"
		echo "$redis_password" >"$dir/$name"
		chmod 644 "$dir/$name"
		path=${name// /%20}
		for path in "/${path//#/%23}" "//${path//#/%23}" \
			"/health-tips/../${path//#/%23}"; do
			ask "$1$path"
			assert_status 403
			assertNotContains "$asked" "$body" "$redis_password"
		done
		[ "$name" = health.conf ] || rm "$dir/$name"
	done < <(private_names)
	cp "$scratch/health.conf" "$dir/"
}

mount_test_the_configuration_is_private() {
	assert_private "$url" "$scratch/www"
	ask "$url/%68ealth%2Econf"
	assert_status 403
	ask "$url/health.conf/x?y"
	assert_status 403
}

# OpenLiteSpeed only obeys rewrite rules.
mount_test_rewrite_rules_suffice() {
	assert_private "$rules" "$scratch/rules"
}

# WordPress and Laravel serve existing files.
mount_test_private_below_a_front_controller() {
	assert_private "$below" "$scratch/below"
	assert_private "$below_laravel" "$scratch/below_laravel"
}

mount_test_above_laravel() {
	local path

	mount_probes_pass "$slashed"
	for path in /any /healthx; do
		ask "$slashed$path"
		assert_status 200
		assertEquals "$asked" 'page of the site' "$body"
	done
	ask "$slashed/any/"
	assert_status 301
}

# A rule that drops the path must not answer readiness with liveness.
mount_test_dropped_path() {
	ask "$dropped/health"
	assert_status 200
	assert_json .status alive
	ask "$dropped/health/started"
	assert_json .status started
	ask "$dropped/health/ready?x"
	assert_status 200
	assert_json .status ready
}

# Lines in the wrong order: not green
mount_test_below_a_front_controller() {
	local site path

	for site in "$below" "$below_laravel"; do
		for path in /health /health/ready '/health?x=1'; do
			ask "$site$path"
			assert_status 403
			assertNotContains "$asked" "$body" 'page of the site'
		done
		for path in / /any /healthx /any/health; do
			ask "$site$path"
			assert_status 200
			assertEquals "$asked" 'page of the site' "$body"
		done
	done
}

mount_test_the_program_by_its_own_name() {
	ask "$url/health.fcgi/ready"
	assert_status 200
	assert_json .status ready
	ask "$url/health.fcgi"
	assert_status 200
	assert_json .status alive
}

# The program by a second name is another program to mod_fcgid.
mount_test_liveness_by_a_second_name() {
	ask "$url/health/live"
	assert_status 200
	assertFalse 'a second process' "started_as health-live.fcgi"
	ln "$scratch/www/health.fcgi" "$scratch/www/health-live.fcgi"
	ask "$url/health/live"
	assert_status 200
	assert_json .status alive
	assertTrue 'a process for liveness' "started_as health-live.fcgi"
	ask "$url/health"
	assert_status 200
	assert_json .service mounted
	ask "$url/health/ready"
	assert_status 200
	assert_json .status ready
	rm "$scratch/www/health-live.fcgi"
}

started_as() {
	pgrep -xf -- "$scratch/www/$1" >/dev/null
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"
