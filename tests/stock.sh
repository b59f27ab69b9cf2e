# shellcheck shell=bash
# Web servers in the configuration that Debian ships: a copy of it whose paths,
# ports and process files are the test's own.  Users, chroot and default site
# stay.  A test adds what the head of a sample tells the user to add.
# Source it after lib.sh; each start_stock_* sets $url.

etc=$scratch/etc

# stock DIRECTORY PACKAGE...: a copy of /etc/DIRECTORY in $etc.  Skips the test
# file if one of its files differs from what these packages ship.
stock() {
	local directory=$1 file sum

	shift
	[ -d "/etc/$directory" ] || skip "/etc/$directory is not there"
	while read -r file sum _; do
		[[ $file == "/etc/$directory/"* ]] || continue
		[ "$(md5sum 2>/dev/null <"$file")" = "$sum  -" ] ||
			skip "$file is not as Debian ships it"
	done < <(dpkg-query -W -f '${Conffiles}\n' "$@")
	mkdir -p "$etc"
	cp -a "/etc/$directory" "$etc/"
	site_pages
}

# site_pages: a site whose pages have names that resemble ours, in $scratch/www
site_pages() {
	local page

	mkdir -p "$scratch/www/health-tips"
	for page in index.html healthz healthcare.html health.html \
		health-tips/index.html error.html; do
		echo "page of the site" >"$scratch/www/$page"
	done
}

# stock_port: a port that is free, $port, and $url for it
stock_port() {
	port=$(free_port)
	url=http://127.0.0.1:$port
}

# start_stock_nginx FILE: its lines go into the server block of the default
# site.  What is in $etc/nginx/conf.d is there already.
start_stock_nginx() {
	local name

	stock_port
	rm "$etc"/nginx/sites-enabled/*
	ln -s ../sites-available/default "$etc/nginx/sites-enabled/default"
	sed -i "s|/etc/nginx|$etc/nginx|; s|/run/nginx.pid|$scratch/nginx.pid|
		s|/var/log/nginx|$scratch/log|" "$etc/nginx/nginx.conf"
	sed -i "s|listen 80\>|listen 127.0.0.1:$port|
		s|listen \[::\]:80\>|listen [::1]:$port|
		s|/var/www/html|$scratch/www|" \
		"$etc/nginx/sites-available/default" "$etc"/nginx/conf.d/*
	sed -i "/^\tserver_name _;/r $1" "$etc/nginx/sites-available/default"
	grep -qs . /proc/net/if_inet6 ||
		sed -i '/listen \[/d' "$etc/nginx/sites-available/default" \
			"$etc"/nginx/conf.d/*
	if [ "$(id -u)" != 0 ]; then
		for name in client_body proxy fastcgi uwsgi scgi; do
			echo "${name}_temp_path $scratch/$name;"
		done >"$etc/nginx/conf.d/temporary.conf"
	fi
	start nginx TERM nginx -g 'daemon off;' -c "$etc/nginx/nginx.conf" \
		-e "$scratch/log/nginx-errors"
	wait_for listening "$port"
}

# apache_sites SAMPLE DIRECTIVE...: writes $scratch/site.conf for the default
# site, which has error pages that the probes must not get, and the other sites
# of mount.sh with what the head of the sample tells of
apache_sites() {
	local sample=$1 site

	shift
	for site in redirected rewritten closed opened; do
		declare -g "$site=http://127.0.0.1:$(free_port)"
	done
	{
		printf '%s\n' "$@"
		cat <<-END
			ErrorDocument 404 /error.html
			ErrorDocument 405 http://example.org/
			ErrorDocument 500 http://example.org/
			ErrorDocument 502 http://example.org/
			ErrorDocument 503 http://example.org/
			ErrorDocument 504 http://example.org/
			<IfModule proxy_module>
				ProxyErrorOverride On
			</IfModule>
			ExpiresActive On
			ExpiresDefault "access plus 1 hour"
			Include "$sample"
		END
	} >"$scratch/site.conf"
	sed 's/#\(Require all granted\)/\1/' "$sample" >"$scratch/opened.conf"
	for site in redirected rewritten closed opened; do
		cat <<-END
			Listen ${!site#http://}
			<VirtualHost ${!site#http://}>
			DocumentRoot "$scratch/www"
		END
		"apache_$site" "$sample"
		echo '</VirtualHost>'
	done >"$etc/apache2/sites-enabled/010-sites.conf"
}

apache_redirected() {
	sed -n 's/^#\t\(RedirectMatch\)/\1/p' "$1"
	echo "Include \"$1\""
}

apache_rewritten() {
	cat <<-END
		RewriteEngine On
		$(sed -n 's/^#\t\(RewriteCond\)/\1/p' "$1")
		RewriteRule . /index.html
		Include "$1"
	END
}

apache_closed() {
	cat <<-END
		<Location "/">
			AuthType Basic
			AuthName site
			AuthUserFile /dev/null
			Require valid-user
		</Location>
		Include "$1"
	END
}

apache_opened() {
	apache_closed "$scratch/opened.conf"
}

# start_stock_apache FILE MODULE...: its lines go into the default virtual
# host; the modules are those that a2enmod would add.
start_stock_apache() {
	local lines=$1 module

	shift
	stock_port
	for module in "$@"; do
		ln -sf "../mods-available/$module.load" "$etc/apache2/mods-enabled/"
		[ ! -e "$etc/apache2/mods-available/$module.conf" ] ||
			ln -sf "../mods-available/$module.conf" \
				"$etc/apache2/mods-enabled/"
	done
	sed -i "s|/var/www/|$scratch/www/|" "$etc/apache2/apache2.conf"
	sed -i "s|^Listen 80$|Listen 127.0.0.1:$port|" "$etc/apache2/ports.conf"
	sed -i "s|\*:80>|*:$port>|; s|/var/www/html|$scratch/www|
		/DocumentRoot/r $lines" \
		"$etc/apache2/sites-available/000-default.conf"
	cat >"$etc/apache2/conf-enabled/test.conf" <<-END
		<IfModule fcgid_module>
			FcgidIPCDir "$scratch/fcgid"
			FcgidProcessTableFile "$scratch/fcgid.table"
		</IfModule>
	END
	start apache TERM env APACHE_RUN_USER=www-data APACHE_RUN_GROUP=www-data \
		APACHE_PID_FILE="$scratch/apache.pid" APACHE_RUN_DIR="$scratch" \
		APACHE_LOCK_DIR="$scratch" APACHE_LOG_DIR="$scratch/log" \
		apache2 -DFOREGROUND -d "$etc/apache2" \
		-f "$etc/apache2/apache2.conf"
	wait_for listening "$port"
}

# start_stock_lighttpd FILE: it becomes the last one in conf-enabled, after a site
# with error pages, redirects and rewrites.
start_stock_lighttpd() {
	stock lighttpd lighttpd
	stock_port
	redirected=http://127.0.0.1:$(free_port)
	rewritten=http://127.0.0.1:$(free_port)
	cp "$1" "$etc/lighttpd/conf-enabled/99-health.conf"
	cat >"$etc/lighttpd/conf-enabled/10-site.conf" <<-END
		server.modules += ( "mod_rewrite", "mod_expire" )
		server.error-handler = "/error.html"
		server.errorfile-prefix = "$scratch/www/error-"
		server.error-intercept = "enable"
		expire.url = ( "" => "access 1 hours" )
		\$SERVER["socket"] == "${redirected#http://}" {
			url.redirect = ( "" => "http://example.org/" )
		}
		\$SERVER["socket"] == "${rewritten#http://}" {
			url.rewrite-once = ( "" => "/index.html" )
		}
	END
	for status in 404 405 500 502 503 504; do
		cp "$scratch/www/error.html" "$scratch/www/error-$status.html"
	done
	sed -i "s|/var/www/html|$scratch/www|; s|/etc/lighttpd|$etc/lighttpd|
		s|/var/cache/lighttpd/uploads|$scratch/uploads|
		s|/var/log/lighttpd/error.log|$scratch/log/lighttpd-errors|
		s|/run/lighttpd.pid|$scratch/lighttpd.pid|
		s|^server.port .*|server.port = $port\nserver.bind = \"127.0.0.1\"|" \
		"$etc/lighttpd/lighttpd.conf"
	mkdir -p "$scratch/uploads" "$scratch/run"
	: >"$scratch/log/lighttpd-errors"
	# Uploads, sockets of its programs, and what it opens as this user
	[ "$(id -u)" != 0 ] || chown www-data: "$scratch/uploads" \
		"$scratch/run" "$scratch/log/lighttpd-errors"
	start lighttpd TERM lighttpd -D -f "$etc/lighttpd/lighttpd.conf"
	wait_for listening "$port"
}

# start_stock_haproxy FILE [COMMAND...]: appends its lines to the stock
# configuration, as a user's frontends are; the command starts haproxy.
start_stock_haproxy() {
	local lines=$1

	shift
	sed -i "s|/var/lib/haproxy|$scratch/haproxy|
		s|/run/haproxy/admin.sock|$scratch/haproxy.sock|
		s|/etc/haproxy|$etc/haproxy|" "$etc/haproxy/haproxy.cfg"
	mkdir -p "$scratch/haproxy"
	[ "$(id -u)" = 0 ] ||
		sed -i '/^\t\(chroot\|user\|group\) /d' "$etc/haproxy/haproxy.cfg"
	cat "$lines" >>"$etc/haproxy/haproxy.cfg"
	start haproxy TERM "$@" haproxy -db -f "$etc/haproxy/haproxy.cfg" \
		-f "$HEALTH_SRCDIR/haproxy/health.cfg"
	wait_for listening "$port"
}

# start_stock_caddy FILE: its lines go into the stock site.
start_stock_caddy() {
	stock_port
	sed -i "s|^:80 {|:$port {|; s|/usr/share/caddy|$scratch/www|
		/^\troot /r $1" "$etc/caddy/Caddyfile"
	# The admin endpoint gets a port of its own.
	sed -i '1i {\n\tadmin off\n}' "$etc/caddy/Caddyfile"
	XDG_DATA_HOME=$scratch/caddy XDG_CONFIG_HOME=$scratch/caddy \
		start caddy TERM caddy run --adapter caddyfile \
		--config "$etc/caddy/Caddyfile"
	wait_for listening "$port"
}
