#include "config.h"

#include "kinds/postgres/pg_conninfo.h"

#include <arpa/inet.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf.h"
#include "kinds/postgres/pg_parse.h"
#include "kinds/postgres/pg_tls.h"
#include "base/text.h"

#define PG_FILE_MAX_BYTES (4 * 1024 * 1024)
#define PG_REASON_BYTES 256
#define PG_LINE_BYTES 1024
#define PG_SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

static bool pg_given(const char *value)
{
	return value && value[0] != '\0';
}

static PQconninfoOption *pg_option(PQconninfoOption *options,
				   const char *keyword)
{
	for (; options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options;
	return NULL;
}

/* The value of an option; NULL when not given or not known to this libpq. */
static char *pg_value(PQconninfoOption *options, const char *keyword)
{
	PQconninfoOption *option = pg_option(options, keyword);

	return option && pg_given(option->val) ? option->val : NULL;
}

/* ---- the hosts ---- */

static size_t pg_count(const char *list)
{
	size_t n = 1;

	for (; *list; list++)
		n += *list == ',';
	return n;
}

/* The index-th item of a list; NULL when it is empty or there is no list.
 * Sets *failed when out of memory. */
static char *pg_item(const char *list, size_t index, bool *failed)
{
	char *item;
	size_t len;

	if (!list)
		return NULL;
	for (; index; index--)
		list += strcspn(list, ",") + 1;
	len = strcspn(list, ",");
	if (len == 0)
		return NULL;
	item = strndup(list, len);
	*failed |= !item;
	return item;
}

static bool pg_port_good(const char *port)
{
	char *end;
	long number = strtol(port, &end, 10);

	return *end == '\0' && port[0] >= '0' && port[0] <= '9' &&
	       number >= 1 && number <= 65535;
}

static bool pg_hostaddr_good(const char *hostaddr)
{
	char plain[INET6_ADDRSTRLEN];
	unsigned char addr[sizeof(struct in6_addr)];
	size_t len = strcspn(hostaddr, "%"); /* a scope follows */

	if (len >= sizeof(plain))
		return false;
	memcpy(plain, hostaddr, len);
	plain[len] = '\0';
	return inet_pton(AF_INET, plain, addr) == 1 ||
	       inet_pton(AF_INET6, plain, addr) == 1;
}

static bool pg_plan_target(struct pg_plan *plan, size_t index,
			   struct pg_reason reason)
{
	struct pg_target *target = &plan->targets[index];
	const char *ports = pg_value(plan->options, "port");
	bool failed = false;

	target->host = pg_item(pg_value(plan->options, "host"), index, &failed);
	target->hostaddr = pg_item(pg_value(plan->options, "hostaddr"), index,
				   &failed);
	target->port = pg_item(ports, ports && pg_count(ports) > 1 ? index : 0,
			       &failed);
	if (!target->port && !failed) {
		target->port = strdup(
			pg_option(plan->options, "port")->compiled);
		failed = !target->port;
	}
	if (failed)
		return pg_refuse(reason, "ran out of memory");
	if (!pg_port_good(target->port))
		return pg_refuse(reason,
				 "has a port that is not a number from 1 to "
				 "65535; in a password, write @ : / as %%40 "
				 "%%3A %%2F");
	if (target->host && strchr(target->host + 1, '@'))
		return pg_refuse(reason,
				 "has a host with an @; write @ in a password "
				 "as %%40");
	if (target->hostaddr && !pg_hostaddr_good(target->hostaddr))
		return pg_refuse(reason,
				 "has a hostaddr that is not numeric; write "
				 "host for a name");
	return true;
}

static bool pg_plan_targets(struct pg_plan *plan, struct pg_reason reason)
{
	const char *hosts = pg_value(plan->options, "host");
	const char *addrs = pg_value(plan->options, "hostaddr");
	const char *ports = pg_value(plan->options, "port");
	size_t i;

	plan->n = addrs ? pg_count(addrs) : hosts ? pg_count(hosts) : 1;
	if (plan->n > PG_TARGETS_MAX) {
		plan->n = 0;
		return pg_refuse(reason, "has more than %d hosts",
				 PG_TARGETS_MAX);
	}
	if (hosts && pg_count(hosts) != plan->n)
		return pg_refuse(reason, "has not as many hosts as hostaddrs");
	if (ports && pg_count(ports) > 1 && pg_count(ports) != plan->n)
		return pg_refuse(reason,
				 "must have one port, or one for each host");
	for (i = 0; i < plan->n; i++)
		if (!pg_plan_target(plan, i, reason))
			return false;
	return true;
}

bool pg_target_is_socket(const struct pg_target *target)
{
	return !target->hostaddr && (!target->host || target->host[0] == '/' ||
				     target->host[0] == '@');
}

/* ---- the files ---- */

static bool pg_write_all(int fd, const char *from, size_t len)
{
	ssize_t n;

	for (; len; from += n, len -= (size_t)n) {
		n = write(fd, from, len);
		if (n <= 0)
			return false;
	}
	return true;
}

/* Remembers the passwords of a passfile, which end its lines: "host:port:
 * database:user:password", where a backslash protects what follows. */
static bool pg_keep_passwords(const char *text)
{
	char password[PG_LINE_BYTES];
	size_t field = 0, len = 0;
	bool good = true;

	for (; good; text++) {
		if (*text == '\n' || *text == '\r' || *text == '\0') {
			password[len] = '\0';
			good = text_secret(password) == 0;
			field = len = 0;
			if (!*text)
				break;
		} else if (*text == ':' && field < 4) {
			field++;
		} else {
			if (*text == '\\' && text[1] && text[1] != '\n')
				text++;
			if (field == 4 && len < sizeof(password) - 1)
				password[len++] = *text;
		}
	}
	explicit_bzero(password, sizeof(password));
	return good;
}

/* What is wrong with the content of a file; NULL: nothing, as far as can be
 * said. */
static const char *pg_file_wrong(const char *keyword, const char *text,
				 size_t len)
{
	if (strcmp(keyword, "sslrootcert") == 0 && !pg_tls_has_cert(text, len))
		return "holds no certificate that can be read (PEM is "
		       "expected)";
	if (strcmp(keyword, "sslcrl") == 0 && !pg_tls_has_crl(text, len))
		return "holds no revocation list that can be read (PEM is "
		       "expected)";
	return NULL;
}

/*
 * Replaces the path by that of a copy in memory: libpq reads these files at
 * each connect, and on a dead mount, or from a FIFO put in their place, it
 * would never come back.  The mode is what libpq wants of a key.
 */
static bool pg_plan_file(struct pg_plan *plan, PQconninfoOption *option,
			 struct pg_reason reason)
{
	struct pg_file *file = &plan->files[plan->n_files];
	char why[PG_REASON_BYTES];
	const char *wrong;
	char *text;
	size_t len;
	bool good;

	if (conf_slurp(option->val, PG_FILE_MAX_BYTES, &text, &len, why,
		       sizeof(why)))
		return pg_refuse(reason, "has a %s that cannot be used: %s",
				 option->keyword, why);
	wrong = pg_file_wrong(option->keyword, text, len);
	file->fd = memfd_create("health", MFD_CLOEXEC);
	good = file->fd >= 0 && fchmod(file->fd, 0600) == 0 &&
	       pg_write_all(file->fd, text, len);
	if (strcmp(option->keyword, "passfile") == 0)
		good = good && pg_keep_passwords(text);
	explicit_bzero(text, len);
	free(text);
	if (file->fd >= 0)
		plan->n_files++;
	snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
	if (wrong)
		return pg_refuse(reason, "has a %s that %s", option->keyword,
				 wrong);
	if (!good || access(file->path, R_OK))
		return pg_refuse(reason,
				 "has a %s that cannot be kept in memory; this "
				 "needs /proc",
				 option->keyword);
	return true;
}

static bool pg_is_system(const char *value)
{
	return strcmp(value, "system") == 0;
}

/* ---- the other parameters ---- */

/* Parameters that a plan keeps elsewhere, or that do not count: the timeout
 * is the check's, and the order of hosts is "the last good one first". */
static bool pg_is_ours(const char *keyword)
{
	static const char *const ours[] = {
		"host",
		"hostaddr",
		"port",
		"connect_timeout",
		"target_session_attrs",
		"load_balance_hosts",
	};
	size_t i;

	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcmp(keyword, ours[i]) == 0)
			return true;
	return false;
}

/* Where libpq would look into the home directory, and with it into the user
 * database; /dev/null would count as a file there. */
static bool pg_is_file(const char *keyword)
{
	static const char *const files[PG_FILES_MAX] = {
		"passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl",
	};
	size_t i;

	for (i = 0; i < PG_FILES_MAX; i++)
		if (strcmp(keyword, files[i]) == 0)
			return true;
	return false;
}

static bool pg_plan_refused(struct pg_plan *plan, struct pg_reason reason)
{
	/* clang-format off */
	static const struct { const char *keyword, *why; } refused[] = {
		{ "service", "write its settings out, a service file is not "
		  "read" },
		{ "requirepeer", "it looks the user up while the check runs" },
		{ "sslcrldir", "write sslcrl with one file" },
	};
	/* clang-format on */
	const char *gss = pg_value(plan->options, "gssencmode");
	size_t i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (pg_value(plan->options, refused[i].keyword))
			return pg_refuse(reason,
					 "has %s, which is not supported: %s",
					 refused[i].keyword, refused[i].why);
	if (gss && strcmp(gss, "disable") != 0 && strcmp(gss, "prefer") != 0)
		return pg_refuse(reason,
				 "has gssencmode other than disable, which is "
				 "not supported: GSS may block");
	return true;
}

/* libpq takes the system's authorities for its own when told so, since 16, and
 * then for verify-full alone: anyone can get a certificate from one of them. */
static bool pg_plan_ssl(struct pg_plan *plan, struct pg_reason reason)
{
	PQconninfoOption *ca = pg_option(plan->options, "sslrootcert");
	const char *mode = pg_value(plan->options, "sslmode");
	bool full = mode && strcmp(mode, "verify-full") == 0;
	bool given = pg_given(ca->val), old = PQlibVersion() < 160000;

	if (mode && mode[0] == 'v' && !full && !given)
		return pg_refuse(reason,
				 "has sslmode=%s, which needs sslrootcert=FILE",
				 mode);
	if (given && pg_is_system(ca->val) && old && !full)
		return pg_refuse(reason, "has sslrootcert=system, which needs "
					 "sslmode=verify-full");
	if (!full || (given && !(pg_is_system(ca->val) && old)))
		return true;
	free(ca->val);
	ca->val = strdup(old ? PG_SYSTEM_CA : "system");
	return ca->val || pg_refuse(reason, "ran out of memory");
}

/* GSS and SSPI are never to be used, even when a server asks for them; libpq
 * can be told so since 16. */
static bool pg_plan_require_auth(struct pg_plan *plan, struct pg_reason reason)
{
	const char *given = pg_value(plan->options, "require_auth");
	int len;

	if (given && strstr(given, "gss"))
		return pg_refuse(reason,
				 "has gss in require_auth, which is not "
				 "supported: GSS may block");
	if (!given)
		len = asprintf(&plan->require_auth, "!gss");
	else if (given[0] == '!')
		len = asprintf(&plan->require_auth, "%s,!gss", given);
	else
		len = asprintf(&plan->require_auth, "%s", given);
	if (len < 0) {
		plan->require_auth = NULL;
		return pg_refuse(reason, "ran out of memory");
	}
	return true;
}

static bool pg_plan_user(struct pg_plan *plan, struct pg_reason reason)
{
	/* Found once, in the main thread: getpwuid(3) is not thread-safe. */
	static char own[256];
	const char *given = pg_value(plan->options, "user");
	const struct passwd *entry;

	if (!given && !own[0] && (entry = getpwuid(geteuid())))
		snprintf(own, sizeof(own), "%s", entry->pw_name);
	if (!given && !own[0])
		return pg_refuse(reason, "must name a user: this process runs "
					 "as one without a name");
	plan->user = strdup(given ? given : own);
	return plan->user || pg_refuse(reason, "ran out of memory");
}

static const char *pg_default(const struct pg_plan *plan, const char *keyword)
{
	if (strcmp(keyword, "user") == 0 || strcmp(keyword, "dbname") == 0)
		return plan->user;
	if (strcmp(keyword, "application_name") == 0)
		return "health.fcgi";
	return pg_is_file(keyword) ? PG_NOWHERE : NULL;
}

/* What one parameter is to be; NULL: left out.  false: refused. */
static bool pg_plan_choose(struct pg_plan *plan, PQconninfoOption *option,
			   const char *password, const char **value,
			   struct pg_reason reason)
{
	const char *keyword = option->keyword;

	*value = pg_given(option->val) ? option->val
				       : pg_default(plan, keyword);
	if (strcmp(keyword, "password") == 0 && password[0])
		*value = password;
	else if (strcmp(keyword, "gssencmode") == 0)
		*value = "disable";
	else if (strcmp(keyword, "require_auth") == 0)
		*value = plan->require_auth;
	else if (pg_is_ours(keyword))
		*value = NULL;
	else if (pg_is_file(keyword) && pg_given(option->val) &&
		 !pg_is_system(option->val)) {
		if (!pg_plan_file(plan, option, reason))
			return false;
		*value = plan->files[plan->n_files - 1].path;
	}
	return true;
}

static void pg_plan_add(struct pg_plan *plan, const char *keyword,
			const char *value)
{
	plan->keywords[plan->n_params] = keyword;
	plan->values[plan->n_params++] = value;
}

static bool pg_plan_params(struct pg_plan *plan, const char *password,
			   struct pg_reason reason)
{
	PQconninfoOption *option;
	const char *value;

	for (option = plan->options; option->keyword; option++) {
		if (!pg_plan_choose(plan, option, password, &value, reason))
			return false;
		/* The rest is room for what differs per server. */
		if (value && plan->n_params < PG_PARAMS_MAX - 8)
			pg_plan_add(plan, option->keyword, value);
	}
	return true;
}

static void pg_plan_role(struct pg_plan *plan)
{
	const char *attrs = pg_value(plan->options, "target_session_attrs");

	/* libpq makes two passes over its hosts for this; it knows one host
	 * only, so they are ours. */
	plan->prefer = attrs && strcmp(attrs, "prefer-standby") == 0;
	plan->attrs = plan->prefer ? "standby" : attrs ? attrs : "any";
}

/*
 * Lets libpq judge the values: it does so before it connects, here to a Unix
 * socket that cannot be.  Its complaint names a parameter and its value, never
 * one that is secret.
 */
static bool pg_plan_try(struct pg_plan *plan, struct pg_reason reason)
{
	size_t n = plan->n_params;
	PGconn *pg;
	const char *error;
	bool good;

	pg_plan_add(plan, "host", PG_NOWHERE);
	pg_plan_add(plan, "target_session_attrs", plan->attrs);
	pg_plan_add(plan, NULL, NULL);
	pg = PQconnectStartParams(plan->keywords, plan->values, 0);
	plan->n_params = n;
	if (!pg)
		return pg_refuse(reason, "ran out of memory");
	error = PQerrorMessage(pg);
	good = PQstatus(pg) != CONNECTION_BAD ||
	       strstr(error, PG_NOWHERE "/.s.PGSQL");
	if (!good) {
		char clean[PG_REASON_BYTES / 2];

		text_show(clean, sizeof(clean), error);
		pg_refuse(reason, "is refused by libpq %d: %s",
			  PQlibVersion() / 10000, clean);
	}
	PQfinish(pg);
	return good;
}

struct pg_plan *pg_plan_create(const char *conninfo, const char *password,
			       char *reason, size_t reason_size)
{
	struct pg_reason to = { reason, reason_size };
	struct pg_plan *plan = calloc(1, sizeof(*plan));

	if (!plan) {
		pg_refuse(to, "ran out of memory");
		return NULL;
	}
	plan->options = pg_parse(conninfo, to);
	if (!plan->options || !pg_plan_refused(plan, to) ||
	    !pg_plan_ssl(plan, to) || !pg_plan_require_auth(plan, to) ||
	    !pg_plan_user(plan, to) || !pg_plan_targets(plan, to) ||
	    !pg_plan_params(plan, password, to)) {
		pg_plan_destroy(plan);
		return NULL;
	}
	pg_plan_role(plan);
	if (!pg_plan_try(plan, to)) {
		pg_plan_destroy(plan);
		return NULL;
	}
	return plan;
}

void pg_plan_destroy(struct pg_plan *plan)
{
	PQconninfoOption *option;
	size_t i;

	if (!plan)
		return;
	for (i = 0; i < plan->n; i++) {
		free(plan->targets[i].host);
		free(plan->targets[i].hostaddr);
		free(plan->targets[i].port);
	}
	for (i = 0; i < plan->n_files; i++)
		close(plan->files[i].fd);
	for (option = plan->options; option && option->keyword; option++)
		if (option->val && strchr(option->dispchar, '*'))
			explicit_bzero(option->val, strlen(option->val));
	PQconninfoFree(plan->options);
	free(plan->require_auth);
	free(plan->user);
	free(plan);
}

const char *pg_plan_value(const struct pg_plan *plan, const char *keyword)
{
	size_t i;

	for (i = 0; i < plan->n_params; i++)
		if (strcmp(plan->keywords[i], keyword) == 0)
			return plan->values[i];
	return NULL;
}

/* The copy of the password file; -1: no file is named. */
static int pg_plan_passfile(const struct pg_plan *plan)
{
	const char *path = pg_plan_value(plan, "passfile");
	size_t i;

	for (i = 0; path && i < plan->n_files; i++)
		if (strcmp(plan->files[i].path, path) == 0)
			return plan->files[i].fd;
	return -1;
}

bool pg_plan_passwords_differ(const struct pg_plan *one,
			      const struct pg_plan *other)
{
	int a = pg_plan_passfile(one), b = pg_plan_passfile(other);
	char of_a[1024], of_b[1024];
	ssize_t got = a >= 0 && b >= 0;
	bool differ = false;
	off_t at;

	for (at = 0; got > 0 && !differ; at += got) {
		got = pread(a, of_a, sizeof(of_a), at);
		differ = pread(b, of_b, sizeof(of_b), at) != got ||
			 (got > 0 && memcmp(of_a, of_b, (size_t)got) != 0);
	}
	explicit_bzero(of_a, sizeof(of_a));
	explicit_bzero(of_b, sizeof(of_b));
	return differ;
}
