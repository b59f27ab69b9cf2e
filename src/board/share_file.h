/*
 * share_file: a file of this user's own, mapped into memory and safe to touch.
 *
 * The directory is opened without following a link and must belong to us with
 * no rights for others; so must the file.  A new file is filled before it gets
 * its name, so that no process opens half of one, and its blocks are taken at
 * once: a full disk shows here and not as SIGBUS later.
 *
 * Should another program truncate the file all the same, the kernel sends
 * SIGBUS at the next touch (mmap(2)).  A handler puts empty memory in place of
 * the file then, and the mapping is marked as lost.
 *
 * For share.c alone.
 */
#ifndef HEALTH_SHARE_FILE_H
#define HEALTH_SHARE_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* What `ours` is called with. */
#define SHARE_FILE_HEAD_BYTES 64

struct share_file {
	/* Set by the caller before opening; borrowed until share_file_close().
	 */
	const char *dir;  /* NULL: one of this user's in the machine's memory */
	const char *name; /* NULL: it is memory that only this process and its
			     children have; a file is there for locks */
	size_t size;
	/* Makes the content of a new file; NULL: none is made. */
	void (*fill)(void *memory, const void *arg);
	/* Whether a file that begins so, and is not mapped yet, is one of ours.
	 * NULL: it is, when it has the size. */
	bool (*ours)(const void *head, const void *arg);
	const void *arg;
	/* Set by share_file_open(). */
	int fd;
	void *memory; /* NULL at first */
	char path[PATH_MAX];
};

/*
 * Maps dir/name, which is made if it is not there.  When a file is mapped
 * already, what has the name now takes its place, at the same address.
 * -1 and a sentence for the operator when it cannot be opened or is not safe;
 * everything is as it was then.  A process maps one such file.
 */
int share_file_open(struct share_file *file, char *reason, size_t reason_size)
	__attribute__((warn_unused_result));
void share_file_close(struct share_file *file);

/*
 * Calls found() for each safe file of a directory (NULL: as above) with its
 * path and its first `size` bytes.  Nothing is mapped or changed.
 */
void share_file_each(const char *dir, size_t size,
		     void (*found)(void *arg, const char *path,
				   const void *head),
		     void *arg);

/* Removes the file, if its name still leads to it. */
void share_file_remove(const struct share_file *file);

/* Whether it was removed. */
bool share_file_is_gone(const struct share_file *file);

/* false: the file was removed, has lost its name or was cut; why, in words. */
bool share_file_intact(const struct share_file *file, char *reason,
		       size_t reason_size);

#endif
