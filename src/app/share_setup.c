#include "config.h"

#include "app/share_setup.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "app/settings.h"
#include "board/share.h"
#include "base/text.h"

#define SHARE_SETUP_BOOT_ID "/proc/sys/kernel/random/boot_id"

/* The name of one of our namespaces; "" on kernels without them. */
static void share_setup_read_namespace(char *name, size_t size,
				       const char *path)
{
	ssize_t len = readlink(path, name, size - 1);

	name[len > 0 ? len : 0] = '\0';
}

/*
 * Times in the file are from CLOCK_MONOTONIC: they mean nothing after another
 * boot (random(4)), on another machine with the same directory, and in another
 * time namespace (time_namespaces(7)).  In another network namespace, or under
 * another root, an address or a path may lead elsewhere, and results differ.
 * -1 when the boot is unknown.
 */
static int share_setup_salt(char *salt, size_t size)
{
	FILE *file = fopen(SHARE_SETUP_BOOT_ID, "re");
	char boot[64] = "", clock[64], network[64];
	struct stat root;

	if (file && !fgets(boot, sizeof(boot), file))
		boot[0] = '\0';
	if (file)
		fclose(file);
	boot[strcspn(boot, "\n")] = '\0';
	if (!boot[0] || stat("/", &root))
		return -1;
	share_setup_read_namespace(clock, sizeof(clock), "/proc/self/ns/time");
	share_setup_read_namespace(network, sizeof(network),
				   "/proc/self/ns/net");
	snprintf(salt, size, "%s %s %s %s %" PRIuMAX ":%" PRIuMAX,
		 PACKAGE_STRING, boot, clock, network, (uintmax_t)root.st_dev,
		 (uintmax_t)root.st_ino);
	return 0;
}

/* NULL, and why, when no results can be shared; *reason is "" when none are to
 * be. */
static struct share *share_setup_find(const struct settings *settings,
				      enum share_setup_start start,
				      struct share_options *options,
				      char *reason, size_t reason_size)
{
	const char *state_dir = settings->health.state_dir;
	bool automatic = strcmp(state_dir, "auto") == 0;
	char salt[512];

	_Static_assert(sizeof(options->identity) == SETTINGS_DIGEST_BYTES,
		       "the digest does not identify a configuration");
	*reason = '\0';
	if (strcmp(state_dir, "none") == 0 || start == SHARE_SETUP_ONCE ||
	    (automatic && start == SHARE_SETUP_ALONE))
		return NULL;
	options->dir = automatic ? NULL : state_dir;
	options->n = settings->checks.n;
	options->source = settings->source;
	if (share_setup_salt(salt, sizeof(salt)))
		snprintf(reason, reason_size,
			 "%s cannot be read; it identifies the boot",
			 SHARE_SETUP_BOOT_ID);
	else if (settings_digest(settings, salt, options->identity))
		snprintf(reason, reason_size, "out of memory");
	else
		return share_open(options, reason, reason_size);
	return NULL;
}

struct share *share_setup_open(const struct settings *settings,
			       enum share_setup_start start)
{
	struct share_options options = { .founder = start != SHARE_SETUP_CGI };
	char reason[PATH_MAX + 128];
	struct share *share = share_setup_find(settings, start, &options,
					       reason, sizeof(reason));

	if (share)
		log_debug("sharing results in %s", share_path(share));
	else if (*reason)
		/* If another user owns the default directory, each request
		 * would log a line. */
		log_line(start == SHARE_SETUP_CGI && !options.dir ? LOG_DEBUG
								  : LOG_WARN,
			 "state_dir: %s; this process shares no results",
			 reason);
	if (share)
		return share;
	options = (struct share_options){ .alone = true,
					  .n = settings->checks.n };
	share = share_open(&options, reason, sizeof(reason));
	if (!share)
		log_err("cannot run the checks: %s", reason);
	return share;
}

/* ---- for the operator ---- */

static void share_setup_print_check(const struct share *share, size_t check,
				    const char *name, FILE *to)
{
	static const char *const words[] = {
		[SHARE_FREE] = "free",	   [SHARE_IDLE] = "waiting",
		[SHARE_CALLED] = "called", [SHARE_RUN] = "running",
		[SHARE_RENEW] = "running",
	};
	struct share_holder holder = share_holder(share, check);
	struct record record = { .runs = 0 };
	int64_t now_us = clock_us();
	uint64_t seen = 0;

	fprintf(to, "%-24s ", name);
	if (share_read(share, check, &seen, &record))
		fprintf(to, "%-10s %9.1f %9.1f %9" PRId64 " %9" PRId64,
			result_word(record.result.code),
			(double)record.result.latency_us / 1e3,
			(double)(now_us - record.result.ended_us) / 1e6,
			record.runs, record.failures);
	else
		fprintf(to, "%-10s %9s %9s %9d %9d", "-", "-", "-", 0, 0);
	if (record.failing_since_us)
		fprintf(to, " %9.1f",
			(double)(now_us - record.failing_since_us) / 1e6);
	else
		fprintf(to, " %9s", "-");
	/* The shared file may hold anything. */
	fprintf(to, "  %s",
		holder.lease < sizeof(words) / sizeof(*words)
			? words[holder.lease]
			: "?");
	if (holder.pid)
		fprintf(to, " %ld", (long)holder.pid);
	fprintf(to, "%s%s\n", record.result.error[0] ? "  " : "",
		record.result.error);
}

struct share_setup_others {
	const char *ours; /* the path of our own configuration */
	size_t n;
};

/* The shared results of another configuration. */
static void share_setup_print_other(void *arg, const char *path,
				    const char *source)
{
	struct share_setup_others *others = arg;
	char clean[PATH_MAX];

	text_clean(clean, sizeof(clean), source, strlen(source));
	if (others->n++ == 0)
		fprintf(stderr, "results are shared by the processes of these "
				"configurations; name one with --config:\n");
	fprintf(stderr, "%s: %s%s\n", path, clean,
		strcmp(source, others->ours) == 0
			? " (an earlier version, or other variables)"
			: "");
}

int share_setup_print(const struct settings *settings, FILE *to)
{
	struct share_options options = { .only_look = true };
	struct share_setup_others others = { .ours = settings->source };
	char reason[PATH_MAX + 128];
	/* Where processes that a server starts share their results. */
	struct share *share = share_setup_find(
		settings, SHARE_SETUP_MANY, &options, reason, sizeof(reason));
	size_t i;

	if (!share) {
		fprintf(stderr, "no results are shared by %s: %s\n",
			settings->source,
			*reason ? reason : "state_dir = none");
		share_list(options.dir, share_setup_print_other, &others);
		return -1;
	}
	fprintf(to, "%s\n%-24s %-10s %9s %9s %9s %9s %9s  %s\n",
		share_path(share), "check", "code", "ms", "age s", "runs",
		"failures", "failing s", "process");
	for (i = 0; i < settings->checks.n; i++)
		share_setup_print_check(share, i,
					settings->checks.setups[i].name, to);
	share_close(share);
	return 0;
}
