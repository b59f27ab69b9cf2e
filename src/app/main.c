#include "config.h"

#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "answer/answer.h"
#include "asker/asker.h"
#include "front/listen.h"
#include "base/log.h"
#include "front/responder.h"
#include "app/settings.h"
#include "board/share.h"
#include "front/oneshot.h"
#include "app/share_setup.h"
#include "base/text.h"

struct options {
	const char *config;
	const char *listen;
	unsigned socket_mode;
	const char *once; /* the probe to answer, or NULL */
	int check_config, state;
};

static const char usage[] =
	"usage: health.fcgi [--config FILE] --listen unix:PATH|ADDRESS:PORT\n"
	"       health.fcgi [--config FILE] --once "
	"[live|ready|ready/NAME|started]\n"
	"       health.fcgi [--config FILE] --check-config | --state\n"
	"       health.fcgi --help | --version\n"
	"\n"
	"Answers health probes for a web server: /health, /health/ready and\n"
	"/health/started.  Started by a web server, as FastCGI or CGI "
	"program,\n"
	"it needs no option.\n"
	"\n"
	"  --config FILE       read this configuration (health.conf(5))\n"
	"  --listen WHERE      serve FastCGI on this socket\n"
	"  --socket-mode MODE  permissions of a Unix socket, octal (0660)\n"
	"  --once [PROBE]      print one answer; exit 0 when healthy, 1 when "
	"not\n"
	"  --check-config      print the settings in effect, or every error\n"
	"  --state             print the shared results of all processes\n"
	"  -h, --help          print this\n"
	"  -V, --version       print the version\n";

/* ---- options ---- */

static int options_fail(const char *what, const char *value)
{
	fprintf(stderr, "health.fcgi: %s%s\nsee health.fcgi --help\n", what,
		value);
	return EX_USAGE;
}

static bool options_probe_known(const char *probe)
{
	return !strcmp(probe, "live") || !strcmp(probe, "ready") ||
	       !strcmp(probe, "started") || !strncmp(probe, "ready/", 6);
}

static bool options_run(const struct options *options)
{
	return options->listen || options->once || options->check_config ||
	       options->state;
}

/* Whether a probe "ready/NAME" names a check; slashes count as in a URL.  If
 * not, prints the names. */
static bool options_check_known(const struct check_list *checks,
				const char *probe)
{
	const char *name = probe + strcspn(probe, "/");
	size_t i, len;

	name += strspn(name, "/");
	len = strcspn(name, "/");
	for (i = 0; i < checks->n; i++)
		if (strncmp(checks->setups[i].name, name, len) == 0 &&
		    checks->setups[i].name[len] == '\0' &&
		    name[len + strspn(name + len, "/")] == '\0')
			return true;
	if (len == 0)
		return true;
	fprintf(stderr, "health.fcgi: --once %s: no such check; ", probe);
	for (i = 0; i < checks->n; i++)
		fprintf(stderr, "%s%s",
			i ? ", " : "there are: ", checks->setups[i].name);
	fprintf(stderr, "%s\n", i ? "" : "there is no check");
	return false;
}

/* -1: continue; otherwise the exit status. */
static int options_parse(struct options *options, int argc, char **argv)
{
	const struct option known[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "listen", required_argument, NULL, 'l' },
		{ "socket-mode", required_argument, NULL, 'm' },
		{ "once", no_argument, NULL, 'o' },
		{ "check-config", no_argument, &options->check_config, 1 },
		{ "state", no_argument, &options->state, 1 },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	unsigned long mode;
	int option;
	char *end;

	while ((option = getopt_long(argc, argv, "hV", known, NULL)) != -1) {
		switch (option) {
		case 0: /* getopt_long(3) has set the flag */
			break;
		case 'c':
			options->config = optarg;
			break;
		case 'l':
			options->listen = optarg;
			break;
		case 'm':
			mode = strtoul(optarg, &end, 8);
			if (!*optarg || *end || mode > 0777)
				return options_fail("not an octal mode: ",
						    optarg);
			options->socket_mode = (unsigned)mode;
			break;
		case 'o':
			options->once = "ready";
			break;
		case 'h':
			fputs(usage, stdout);
			return EX_OK;
		case 'V':
			puts(PACKAGE_STRING);
			return EX_OK;
		default: /* getopt_long(3) has printed the error */
			fputs("see health.fcgi --help\n", stderr);
			return EX_USAGE;
		}
	}
	if (options->once && optind < argc)
		options->once = argv[optind++];
	if (options->once && !options_probe_known(options->once))
		return options_fail("no such probe: ", options->once);
	if (optind < argc)
		return options_fail("unexpected argument: ", argv[optind]);
	return -1;
}

/* ---- the parts ---- */

/* What all modes need: the results, and the service that answers from them. */
struct base {
	struct settings settings;
	bool broken; /* the configuration has errors */
	struct share *share;
	struct plan *plan;
	struct service service;
};

/* ---- ways of running ---- */

static int run_check_config(const struct settings *settings)
{
	const char *mistake;
	size_t i;

	for (i = 0; (mistake = conf_note_at(settings->conf, CONF_MISTAKE, i));
	     i++)
		fprintf(stderr, "%s\n", mistake);
	if (i)
		return EX_CONFIG;
	settings_print(settings, stdout);
	return fflush(stdout) ? EX_IOERR : EX_OK;
}

static int run_chore(void *asker)
{
	return asker_turn(asker);
}

static int run_fastcgi(struct base *base, struct listener *listener,
		       const struct asker_options *asker_options,
		       const sigset_t *signals)
{
	const struct settings_health *health = &base->settings.health;
	struct responder_options options = {
		.listen_fd = listener->fd,
		.threads = (size_t)health->threads,
		.max_waiting = (size_t)health->max_waiting,
		.max_connections = (size_t)health->max_connections,
		.allowed = getenv("FCGI_WEB_SERVER_ADDRS"),
	};
	struct responder *responder = NULL;
	struct asker *asker;
	struct listen_chore chore = { .turn = run_chore };
	int status = EX_OSERR, number;

	/* Before the threads that answer: the first worker is forked here. */
	asker = asker_create(asker_options);
	if (asker) {
		chore.arg = asker;
		chore.fd = asker_turn_fd(asker);
		options.heard_fd = asker_heard_fd(asker);
		responder = responder_start(&options, &base->service);
	}
	if (responder) {
		/* libfcgi has installed its own handler. */
		signal(SIGPIPE, SIG_IGN);
		status = EX_OK;
		number = listen_wait(listener->parent, signals, &chore);
		if (number)
			log_info("stopping on SIG%s", sigabbrev_np(number));
		else
			log_warn("stopping: parent process %ld has exited",
				 (long)listener->parent);
	}
	/* Connections that were accepted before are still served. */
	listen_leave(listener);
	if (responder)
		responder_stop(responder, &chore);
	asker_destroy(asker);
	responder_destroy(responder);
	return status;
}

static int run(struct base *base, const struct options *options,
	       struct listener *listener, bool cgi, const sigset_t *signals)
{
	const struct settings *settings = &base->settings;
	static const struct check_list no_checks;
	struct oneshot_config oneshot = { .service = &base->service };
	struct asker_options asker = {
		.checks = base->broken ? &no_checks : &settings->checks,
		.drain_file = base->broken ? "" : settings->health.drain_file,
		.warm = !cgi && !options->once,
	};
	enum listen_outcome outcome;
	const char *mistake;
	size_t i;

	/* A CGI program starts for each request and would repeat them. */
	if (!cgi)
		settings_log_warnings(settings);
	if (options->check_config)
		return run_check_config(settings);
	for (i = 0; (mistake = conf_note_at(settings->conf, CONF_MISTAKE, i));
	     i++)
		log_masked(LOG_ERR, "%s", mistake);
	if ((options->once || options->state) && base->broken)
		return EX_CONFIG;
	if (options->state)
		return share_setup_print(settings, stdout) ? EX_UNAVAILABLE
							   : EX_OK;
	if (options->once &&
	    !options_check_known(&settings->checks, options->once))
		return EX_USAGE;
	base->share = share_setup_open(
		settings, options->once || base->broken ? SHARE_SETUP_ONCE
			  : cgi				? SHARE_SETUP_CGI
			  : listener->many		? SHARE_SETUP_MANY
							: SHARE_SETUP_ALONE);
	if (!base->share)
		return EX_OSERR;
	/* Without shared results, each request logs that a check is healthy. */
	if (cgi && share_is_alone(base->share) &&
	    settings->health.log_level == LOG_INFO)
		log_set_level(LOG_WARN);
	base->plan = settings_plan(settings, cgi);
	if (base->plan)
		base->service.board = board_create(base->plan, base->share);
	if (!base->service.board) {
		log_err("out of memory");
		return EX_OSERR;
	}
	base->service.plan = base->plan;
	asker.plan = base->plan;
	asker.board = base->service.board;
	asker.share = base->share;
	oneshot.asker = asker;
	if (options->once)
		return oneshot_once(&oneshot, options->once);
	if (cgi)
		return oneshot_cgi(&oneshot);
	if (!options->listen) {
		log_masked(LOG_INFO,
			   "%s started by a web server, %zu checks from %s",
			   PACKAGE_STRING, settings->checks.n,
			   settings->source);
		return run_fastcgi(base, listener, &asker, signals);
	}
	if (base->broken)
		return EX_CONFIG;
	outcome = listen_open(listener, options->listen, options->socket_mode);
	if (outcome != LISTEN_OPEN) {
		log_masked(LOG_ERR, "--listen: %s", listener->reason);
		return outcome == LISTEN_BAD_ADDRESS ? EX_USAGE : EX_OSERR;
	}
	log_masked(LOG_INFO, "%s listening on %s, %zu checks from %s",
		   PACKAGE_STRING, options->listen, settings->checks.n,
		   settings->source);
	return run_fastcgi(base, listener, &asker, signals);
}

/* ---- start ---- */

/* All threads inherit this mask, so that only listen_wait() receives the
 * signals.  As CGI and on the command line they keep their default action. */
static void main_block_signals(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGHUP);
	sigaddset(signals, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, signals, NULL);
}

/*
 * The parent may have closed 0, 1 or 2.  The next file to be opened would get
 * that number, and log lines would be written into a connection.
 */
static void main_fill_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* Web servers may open thousands of connections at once. */
static void main_raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	/* Three busy threads do not need one arena each. */
	mallopt(M_ARENA_MAX, 2);
}

/*
 * Whether the arguments of a CGI program are options, and not the words of a
 * URL's query, which servers pass as arguments (RFC 3875, 4.4).  lighttpd puts
 * the name of the requested file first (cgi.assign).
 */
static bool main_is_called(char **argv)
{
	const char *query = getenv("QUERY_STRING");

	return (!query || !*query) && argv[0] && argv[1] && argv[1][0] == '-';
}

int main(int argc, char **argv)
{
	struct options options = { .socket_mode = 0660 };
	struct base base = { .broken = false };
	struct listener listener = { .fd = -1 };
	sigset_t signals;
	int status = -1;
	bool cgi;

	main_fill_descriptors();
	/* Otherwise the first gmtime_r() opens the file that TZ names, which on
	 * a dead mount never returns. */
	setenv("TZ", "UTC0", 1);
	signal(SIGPIPE, SIG_IGN);
	/* Exceeding RLIMIT_FSIZE, which includes shared memory, is an error. */
	signal(SIGXFSZ, SIG_IGN);
	if (listen_inherit(&listener))
		listener.fd = -1;
	cgi = listener.fd < 0 && getenv("GATEWAY_INTERFACE") &&
	      getenv("REQUEST_METHOD");
	if (!cgi || main_is_called(argv))
		status = options_parse(&options, argc, argv);
	/* With such an option, the environment was inherited from a CGI
	 * program. */
	cgi = cgi && !options_run(&options);
	if (status < 0 && !cgi && listener.fd < 0 && !options_run(&options))
		status = options_fail(
			"not started by a web server, and no option given", "");
	if (status >= 0)
		return status;
	if (!cgi && !options.once && !options.check_config && !options.state)
		main_block_signals(&signals);
	main_raise_limits();
	/* A CGI program would log a line again with each request. */
	if (cgi)
		log_set_level(LOG_ERR);
	base.broken = settings_load(&base.settings, options.config) != 0;
	if (!base.settings.conf) {
		log_err("out of memory");
		log_end();
		return EX_OSERR;
	}
	log_set_level((enum log_level)base.settings.health.log_level);
	status = run(&base, &options, &listener, cgi, &signals);
	board_destroy(base.service.board);
	free(base.plan);
	share_close(base.share);
	settings_free(&base.settings);
	text_forget_secrets();
	log_end();
	return status;
}
