#include "config.h"

#include "kinds/postgres/pg_conninfo.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include <arpa/inet.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf.h"
#include "base/text.h"

#define PG_FILE_MAX_BYTES (4 * 1024 * 1024)
#define PG_WORD_BYTES 32
#define PG_SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

/* A path that does not exist.  Not /dev/null, which libpq takes for a readable
 * file. */
#define PG_NOWHERE "/nonexistent"

#define PG_COUNT(table) (sizeof(table) / sizeof(*(table)))

extern char **environ;

/* What becomes of parameters that do not go to libpq as they are written. */
static const struct pg_rule {
	const char *keyword;
	enum {
		/* Kept elsewhere in the plan, or without a meaning: the timeout
		 * is the check's, and the last good host comes first. */
		PG_OURS,
		/* Without a value, libpq would look into the home directory,
		 * and for that into the user database. */
		PG_FILE,
		PG_REFUSED,
		PG_PASSED
	} what;
	const char *why; /* it is refused */
} pg_rules[] = {
	{ "host", PG_OURS, NULL },
	{ "hostaddr", PG_OURS, NULL },
	{ "port", PG_OURS, NULL },
	{ "connect_timeout", PG_OURS, NULL },
	{ "target_session_attrs", PG_OURS, NULL },
	{ "load_balance_hosts", PG_OURS, NULL },
	{ "passfile", PG_FILE, NULL },
	{ "sslcert", PG_FILE, NULL },
	{ "sslkey", PG_FILE, NULL },
	{ "sslrootcert", PG_FILE, NULL },
	{ "sslcrl", PG_FILE, NULL },
	{ "service", PG_REFUSED,
	  "write its settings out, a service file is not read" },
	{ "requirepeer", PG_REFUSED,
	  "it looks the user up while the check runs" },
	{ "sslcrldir", PG_REFUSED, "write sslcrl with one file" },
	{ NULL, PG_PASSED, NULL },
};

/* libpq makes two passes over its hosts for prefer-standby; it knows only one
 * host, so they are ours. */
static const struct pg_role pg_roles[] = {
	{ "read-write", "SHOW transaction_read_only; ", "off",
	  "no server is writable" },
	{ "read-only", "SHOW transaction_read_only; ", "on",
	  "no server is read-only" },
	{ "primary", "SELECT pg_catalog.pg_is_in_recovery(); ", "f",
	  "no server is a primary" },
	{ "standby", "SELECT pg_catalog.pg_is_in_recovery(); ", "t",
	  "no server is a standby" },
};

const struct pg_role pg_role_any = { "any", "", "",
				     "no server has the right role" };

/* Writes the error message; always false, to be returned. */
__attribute__((format(printf, 2, 3))) static bool pg_refuse(
	struct pg_plan *plan, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(plan->reason, PG_REASON_BYTES, fmt, args);
	va_end(args);
	return false;
}

/* The user of the process; "": without a name.  Other threads read it later. */
static char pg_own_name[256];

void pg_environment(void)
{
	static bool done; /* other threads read it later */
	const struct passwd *entry;
	char name[64];
	size_t i = 0, len;

	if (done)
		return;
	done = true;
	/* Not in another thread: getpwuid(3) has one buffer for all. */
	entry = getpwuid(geteuid());
	if (entry)
		snprintf(pg_own_name, sizeof(pg_own_name), "%s",
			 entry->pw_name);

	/* PGSERVICE would open a file, PGHOSTADDR turn a socket into TCP,
	 * PGPASSWORD be used for a check without a password: no PG* is for us.
	 */
	while (environ && environ[i]) {
		len = strcspn(environ[i], "=");
		if (strncmp(environ[i], "PG", 2) != 0 || len >= sizeof(name)) {
			i++;
			continue;
		}
		snprintf(name, sizeof(name), "%.*s", (int)len, environ[i]);
		unsetenv(name); /* closes the gap at i */
	}
	/* A server may ask for GSS; with a keytab and a silent KDC, libgssapi
	 * blocked for 27 s in one call. */
	setenv("KRB5CCNAME", "FILE:" PG_NOWHERE, 1);
	setenv("KRB5_CLIENT_KTNAME", "FILE:" PG_NOWHERE, 1);
	setenv("KRB5_CONFIG", "/dev/null", 1);
	/* Without the hook OpenSSL asks the terminal for a key's password. */
	PQsetSSLKeyPassHook_OpenSSL(PQdefaultSSLKeyPassHook_OpenSSL);
}

/* ---- the options of libpq ---- */

static bool pg_given(const char *value)
{
	return value && value[0] != '\0';
}

static PQconninfoOption *pg_option(PQconninfoOption *options,
				   const char *keyword)
{
	for (; options && options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options;
	return NULL;
}

char *pg_plan_value(const struct pg_plan *plan, const char *keyword)
{
	const PQconninfoOption *option = pg_option(plan->options, keyword);

	return option && pg_given(option->val) ? option->val : NULL;
}

static void pg_forget(PQconninfoOption *option)
{
	if (option->val && strchr(option->dispchar, '*'))
		explicit_bzero(option->val, strlen(option->val));
}

/* Sets an option; one that this libpq does not know is ignored.  false: out of
 * memory. */
static bool pg_set(struct pg_plan *plan, const char *keyword, const char *value)
{
	PQconninfoOption *option = pg_option(plan->options, keyword);

	if (!option)
		return true;
	pg_forget(option);
	free(option->val);
	option->val = strdup(value);
	return option->val != NULL;
}

/* ---- the connection string ---- */

/* The known parameter that an unknown one was meant to be, or NULL. */
static const char *pg_nearest(const char *word)
{
	const char *known[PG_PARAMS_MAX + 1];
	PQconninfoOption *options = PQconndefaults();
	size_t n = 0;

	for (; options && n < PG_PARAMS_MAX && options[n].keyword; n++)
		known[n] = options[n].keyword; /* static in libpq */
	known[n] = NULL;
	PQconninfoFree(options);
	return text_nearest(word, known);
}

bool pg_is_known(const char *name)
{
	const char *nearest = pg_nearest(name);

	return nearest && strcmp(nearest, name) == 0;
}

/* The part of a URI after user and password, as libpq finds them; NULL: not a
 * URI. */
static const char *pg_behind_user(const char *conninfo)
{
	const char *rest, *end;

	if (strncmp(conninfo, "postgres://", 11) != 0 &&
	    strncmp(conninfo, "postgresql://", 13) != 0)
		return NULL;
	rest = strstr(conninfo, "://") + 3;
	end = strpbrk(rest, "@/");
	return end && *end == '@' ? end + 1 : rest;
}

/*
 * Why libpq could not parse the string.  libpq's own message repeats the text
 * at the error, which is often part of the password.
 */
static void pg_explain(struct pg_plan *plan, const char *conninfo,
		       const char *error)
{
	/* clang-format off */
	static const struct { const char *sign, *words; } errors[] = {
		{ "missing \"=\"", "is neither a postgresql:// URI nor a list "
		  "of key=value pairs; put quotes ('') around values with "
		  "blanks" },
		{ "unterminated quoted", "has a quote (') that is not closed" },
		{ "percent-encoded", "has a % that is not followed by two hex "
		  "digits; write %25 for a % in a password" },
		{ "%00", "has a %00, which no value may hold" },
		{ "\"]\"", "has a [ without ] around an IPv6 address" },
		{ "unexpected character", "has an unexpected character; write "
		  "@ : / in user or password as %40 %3A %2F" },
		{ "key/value separator", "has a parameter after ? that is not "
		  "name=value" },
		{ "out of memory", "ran out of memory" },
		{ "", "is not understood by libpq; write "
		  "postgresql://user@host:port/database" },
	};
	/* clang-format on */
	const char *rest = pg_behind_user(conninfo), *nearest, *quote = NULL;
	char name[PG_WORD_BYTES] = "";
	size_t i = 0, len;
	bool shown;

	if (strstr(error, "invalid connection option") ||
	    strstr(error, "invalid URI query parameter"))
		quote = strchr(error, '"');
	if (!quote) {
		while (!strstr(error, errors[i].sign))
			i++;
		pg_refuse(plan, "%s", errors[i].words);
		return;
	}
	len = strcspn(++quote, "\"");
	if (len < sizeof(name)) /* else it is not a name of libpq's */
		snprintf(name, sizeof(name), "%.*s", (int)len, quote);
	nearest = pg_nearest(name);
	/* It must not be a piece of a password with a "?", "&" or blank. */
	shown = *name &&
		!name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-."
				   "abcdefghijklmnopqrstuvwxyz")] &&
		(rest ? !strchr(rest, '@') : !strcasestr(conninfo, "pass"));
	pg_refuse(plan,
		  "has a parameter%s%s%s that libpq %d does not know%s%s%s",
		  shown ? " \"" : "", shown ? name : "", shown ? "\"" : "",
		  PQlibVersion() / 10000, nearest ? "; did you mean " : "",
		  nearest ? nearest : "", nearest ? "?" : "");
	explicit_bzero(name, sizeof(name));
}

static bool pg_plan_parse(struct pg_plan *plan, const char *conninfo)
{
	const char *rest = pg_behind_user(conninfo);
	PQconninfoOption *option;
	char *error = NULL;
	bool good = true;

	/* With an "@" in a password that is not encoded, libpq would take the
	 * rest of it for the host, and it would be sent to DNS. */
	if (rest && memchr(rest, '@', strcspn(rest, "?")))
		return pg_refuse(plan,
				 "has an @ that does not end the user and "
				 "password; elsewhere, and in a password, "
				 "write @ / ? as %%40 %%2F %%3F");
	plan->options = PQconninfoParse(conninfo, &error);
	if (error) {
		pg_explain(plan, conninfo, error);
		explicit_bzero(error, strlen(error));
		PQfreemem(error);
	}
	for (option = plan->options; option && option->keyword; option++)
		if (option->val && strchr(option->dispchar, '*'))
			good &= text_secret(option->val) == 0;
	return good && plan->options;
}

/* ---- the hosts ---- */

static size_t pg_count(const char *list)
{
	size_t n = 1;

	for (; list && *list; list++)
		n += *list == ',';
	return n;
}

/* Cuts off the first item of a list; NULL when it is empty or there is no
 * list. */
static char *pg_item(char **list)
{
	char *item = strsep(list, ",");

	return pg_given(item) ? item : NULL;
}

static bool pg_port_good(const char *port)
{
	char *end;
	long number = strtol(port, &end, 10);

	return *end == '\0' && port[0] >= '0' && port[0] <= '9' &&
	       number >= 1 && number <= 65535;
}

static bool pg_hostaddr_good(char *hostaddr)
{
	unsigned char addr[sizeof(struct in6_addr)];
	char *scope = strchrnul(hostaddr, '%'), was = *scope;
	bool good;

	*scope = '\0';
	good = inet_pton(AF_INET, hostaddr, addr) == 1 ||
	       inet_pton(AF_INET6, hostaddr, addr) == 1;
	*scope = was;
	return good;
}

static void pg_plan_role(struct pg_plan *plan)
{
	const char *attrs = pg_plan_value(plan, "target_session_attrs");
	size_t i;

	plan->role = &pg_role_any;
	plan->prefer = attrs && strcmp(attrs, "prefer-standby") == 0;
	if (plan->prefer)
		attrs = "standby";
	for (i = 0; attrs && i < PG_COUNT(pg_roles); i++)
		if (strcmp(attrs, pg_roles[i].attrs) == 0)
			plan->role = &pg_roles[i];
}

static bool pg_plan_targets(struct pg_plan *plan)
{
	char *hosts = pg_plan_value(plan, "host"),
	     *ports = pg_plan_value(plan, "port");
	char *addrs = pg_plan_value(plan, "hostaddr"), *addr;
	size_t n = pg_count(addrs ? addrs : hosts), n_ports = pg_count(ports);
	const char *standard = pg_option(plan->options, "port")->compiled;
	const char *port;
	struct pg_target *target = plan->targets;

	pg_plan_role(plan);
	if (n > PG_TARGETS_MAX)
		return pg_refuse(plan, "has more than %d hosts",
				 PG_TARGETS_MAX);
	if (hosts && pg_count(hosts) != n)
		return pg_refuse(plan, "has not as many hosts as hostaddrs");
	if (n_ports > 1 && n_ports != n)
		return pg_refuse(plan,
				 "must have one port, or one for each host");
	for (plan->n = n; n; n--, target++) {
		target->host = pg_item(&hosts);
		target->hostaddr = addr = pg_item(&addrs);
		port = n_ports > 1 ? pg_item(&ports) : ports;
		target->port = port ? port : standard;
		if (!pg_port_good(target->port))
			return pg_refuse(plan,
					 "has a port that is not a number from "
					 "1 to 65535; in a password, write "
					 "@ : / as %%40 %%3A %%2F");
		if (target->host && strchr(target->host + 1, '@'))
			return pg_refuse(plan, "has a host with an @; write @ "
					       "in a password as %%40");
		if (addr && !pg_hostaddr_good(addr))
			return pg_refuse(plan,
					 "has a hostaddr that is not numeric; "
					 "write host for a name");
	}
	return true;
}

bool pg_target_is_socket(const struct pg_target *target)
{
	return !target->hostaddr && (!target->host || target->host[0] == '/' ||
				     target->host[0] == '@');
}

/* ---- the files ---- */

/* Registers the passwords of a passfile, which end its lines: "host:port:
 * database:user:password", where a backslash protects what follows.  Changes
 * the text. */
static bool pg_keep_passwords(char *text)
{
	char *line, *from, *to;
	int field;
	bool good = true;

	while (good && (line = strsep(&text, "\r\n"))) {
		for (field = 0, from = to = line; *from; from++) {
			if (*from == ':' && field < 4) {
				field++;
				to = line;
				continue;
			}
			if (*from == '\\' && from[1])
				from++;
			*to++ = *from;
		}
		*to = '\0';
		good = field < 4 || text_secret(line) == 0;
	}
	return good;
}

/*
 * Whether a PEM text can be read to its end and holds a certificate, or a
 * revocation list.  OpenSSL reads such a file for libpq in the same way: one
 * broken part spoils it all.  libpq ignores an sslcrl that it cannot read, and
 * then accepts revoked certificates.
 */
static bool pg_holds(const char *pem, size_t len, bool crl)
{
	BIO *text = BIO_new_mem_buf(pem, (int)len);
	STACK_OF(X509_INFO) *all = NULL;
	static char no_passphrase[] = ""; /* OpenSSL would ask the terminal */
	const X509_INFO *info;
	bool found = false;
	int i;

	if (text)
		all = PEM_X509_INFO_read_bio(text, NULL, NULL, no_passphrase);
	for (i = 0; i < sk_X509_INFO_num(all); i++) {
		info = sk_X509_INFO_value(all, i);
		found |= crl ? info->crl != NULL : info->x509 != NULL;
	}
	sk_X509_INFO_pop_free(all, X509_INFO_free);
	BIO_free(text);
	ERR_clear_error();
	return found;
}

/*
 * Replaces the path by that of a copy in memory: libpq reads these files at
 * each connect, and would block on a dead mount, or on a FIFO put in their
 * place.  The mode is what libpq wants of a key.
 */
static bool pg_plan_file(struct pg_plan *plan, const PQconninfoOption *option)
{
	const char *keyword = option->keyword;
	const bool crl = strcmp(keyword, "sslcrl") == 0;
	const bool ca = strcmp(keyword, "sslrootcert") == 0;
	char why[PG_REASON_BYTES], copy[32], *text;
	size_t len;
	bool good, pem_good;
	int fd;

	if (ca && strcmp(option->val, "system") == 0)
		return true;
	if (conf_slurp(option->val, PG_FILE_MAX_BYTES, &text, &len, why,
		       sizeof(why)))
		return pg_refuse(plan, "has a %s that cannot be used: %s",
				 keyword, why);
	pem_good = !(ca || crl) || pg_holds(text, len, crl);
	fd = memfd_create("health", MFD_CLOEXEC);
	if (fd >= 0)
		plan->files[plan->n_files++] = fd;
	good = fd >= 0 && fchmod(fd, 0600) == 0 &&
	       write(fd, text, len) == (ssize_t)len;
	if (strcmp(keyword, "passfile") == 0) {
		SHA256((unsigned char *)text, len, plan->passwords);
		good = good && pg_keep_passwords(text);
	}
	explicit_bzero(text, len);
	free(text);
	snprintf(copy, sizeof(copy), "/proc/self/fd/%d", fd);
	if (!pem_good)
		return pg_refuse(plan,
				 "has a %s that holds no %s that can be read "
				 "(PEM is expected)",
				 keyword,
				 crl ? "revocation list" : "certificate");
	if (!good || access(copy, R_OK))
		return pg_refuse(plan,
				 "has a %s that cannot be kept in memory; this "
				 "needs /proc",
				 keyword);
	return pg_set(plan, keyword, copy);
}

/* ---- the other parameters ---- */

/* Since 16, libpq uses the system's authorities when told so, and then for
 * verify-full alone: anyone can get a certificate from one of them. */
static bool pg_plan_ssl(struct pg_plan *plan)
{
	const char *ca = pg_plan_value(plan, "sslrootcert");
	const char *mode = pg_plan_value(plan, "sslmode");
	bool full = mode && strcmp(mode, "verify-full") == 0;
	bool system = ca && strcmp(ca, "system") == 0;
	bool old = PQlibVersion() < 160000;

	if (mode && mode[0] == 'v' && !full && !ca)
		return pg_refuse(plan,
				 "has sslmode=%s, which needs sslrootcert=FILE",
				 mode);
	if (system && old && !full)
		return pg_refuse(plan, "has sslrootcert=system, which needs "
				       "sslmode=verify-full");
	return !full || (ca && !(system && old)) ||
	       pg_set(plan, "sslrootcert", old ? PG_SYSTEM_CA : "system");
}

/* GSS and SSPI must never be used, even when a server asks for them; libpq has
 * an option for this since 16. */
static bool pg_plan_gss(struct pg_plan *plan)
{
	const char *mode = pg_plan_value(plan, "gssencmode");
	const char *given = pg_plan_value(plan, "require_auth");
	char *methods;
	bool good;

	if (mode && strcmp(mode, "disable") != 0 && strcmp(mode, "prefer") != 0)
		return pg_refuse(plan,
				 "has gssencmode other than disable, which is "
				 "not supported: GSS may block");
	if (given && strstr(given, "gss"))
		return pg_refuse(plan, "has gss in require_auth, which is not "
				       "supported: GSS may block");
	if (asprintf(&methods, "%s%s", given ? given : "",
		     !given	       ? "!gss"
		     : given[0] == '!' ? ",!gss"
				       : "") < 0)
		return false;
	good = pg_set(plan, "gssencmode", "disable") &&
	       pg_set(plan, "require_auth", methods);
	free(methods);
	return good;
}

/* What libpq would look up when it is not given. */
static bool pg_plan_defaults(struct pg_plan *plan)
{
	const char *user = pg_plan_value(plan, "user"), *own = pg_own_name;

	if (!user && !own[0])
		return pg_refuse(plan, "must name a user: this process runs "
				       "as one without a name");
	return (user || pg_set(plan, "user", own)) &&
	       (pg_plan_value(plan, "dbname") ||
		pg_set(plan, "dbname", user ? user : own)) &&
	       (pg_plan_value(plan, "application_name") ||
		pg_set(plan, "application_name", "health.fcgi"));
}

void pg_plan_add(struct pg_plan *plan, const char *keyword, const char *value)
{
	plan->keywords[plan->n_params] = keyword;
	plan->values[plan->n_params++] = value;
}

static bool pg_plan_params(struct pg_plan *plan)
{
	PQconninfoOption *option;
	const struct pg_rule *rule;
	const char *keyword;

	for (option = plan->options; (keyword = option->keyword); option++) {
		rule = pg_rules;
		while (rule->keyword && strcmp(rule->keyword, keyword) != 0)
			rule++;
		if (rule->what == PG_OURS)
			continue;
		if (rule->what == PG_REFUSED && pg_given(option->val))
			return pg_refuse(plan,
					 "has %s, which is not supported: %s",
					 keyword, rule->why);
		if (rule->what == PG_FILE &&
		    !(pg_given(option->val)
			      ? pg_plan_file(plan, option)
			      : pg_set(plan, keyword, PG_NOWHERE)))
			return false;
		/* The last places are for what differs per server. */
		if (pg_given(option->val) && plan->n_params < PG_PARAMS_MAX - 8)
			pg_plan_add(plan, keyword, option->val);
	}
	return true;
}

/*
 * Lets libpq judge the values: it does so before it connects, here to a Unix
 * socket that cannot exist.  Its complaint names a parameter and its value,
 * never one that is secret.
 */
static bool pg_plan_try(struct pg_plan *plan)
{
	size_t n = plan->n_params;
	char clean[PG_REASON_BYTES / 2];
	const char *error;
	PGconn *pg;
	bool good;

	pg_plan_add(plan, "host", PG_NOWHERE);
	pg_plan_add(plan, "target_session_attrs",
		    pg_plan_value(plan, "target_session_attrs"));
	pg_plan_add(plan, NULL, NULL);
	pg = PQconnectStartParams(plan->keywords, plan->values, 0);
	plan->n_params = n;
	if (!pg)
		return false;
	error = PQerrorMessage(pg);
	good = PQstatus(pg) != CONNECTION_BAD ||
	       strstr(error, PG_NOWHERE "/.s.PGSQL");
	if (!good) {
		text_show(clean, sizeof(clean), error);
		pg_refuse(plan, "is refused by libpq %d: %s",
			  PQlibVersion() / 10000, clean);
	}
	PQfinish(pg);
	return good;
}

struct pg_plan *pg_plan_create(const char *conninfo, const char *password,
			       char reason[PG_REASON_BYTES])
{
	struct pg_plan *plan = calloc(1, sizeof(*plan));

	/* Stays when a step fails without another reason. */
	snprintf(reason, PG_REASON_BYTES, "ran out of memory");
	if (!plan)
		return NULL;
	plan->reason = reason;
	if (pg_plan_parse(plan, conninfo) && pg_plan_ssl(plan) &&
	    pg_plan_gss(plan) && pg_plan_defaults(plan) &&
	    (!password[0] || pg_set(plan, "password", password)) &&
	    pg_plan_targets(plan) && pg_plan_params(plan) &&
	    pg_plan_try(plan)) {
		plan->reason = NULL;
		return plan;
	}
	pg_plan_destroy(plan);
	return NULL;
}

void pg_plan_destroy(struct pg_plan *plan)
{
	PQconninfoOption *option;

	if (!plan)
		return;
	while (plan->n_files)
		close(plan->files[--plan->n_files]);
	for (option = plan->options; option && option->keyword; option++)
		pg_forget(option);
	PQconninfoFree(plan->options);
	free(plan);
}
