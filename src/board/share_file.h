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

/* What `ours` gets to see. */
#define SHARE_FILE_HEAD_BYTES 64

struct share_file {
	int fd;
	void *memory;
	size_t size;
	char path[PATH_MAX];
	/* Set by the caller before opening: whether a file that begins so, and
	 * is not mapped yet, is one of ours; arg as for fill().  NULL: it is,
	 * when it has the size. */
	bool (*ours)(const void *head, const void *arg);
};

/*
 * Maps dir/name, `size` bytes; dir NULL: a directory of this user's in the
 * memory of the machine.  fill(memory, arg) makes the content of a new file;
 * NULL: none is made.
 * -1 and a sentence for the operator when it cannot be opened or is not safe.
 * A process maps one such file.
 */
int share_file_open(struct share_file *file, const char *dir, const char *name,
		    size_t size, void (*fill)(void *memory, const void *arg),
		    const void *arg, char *reason, size_t reason_size)
	__attribute__((warn_unused_result));
void share_file_close(struct share_file *file);

/* Maps what is there now under that name, or a new file, at the same address.
 * -1: everything is as it was. */
int share_file_reopen(struct share_file *file, const char *dir,
		      const char *name,
		      void (*fill)(void *memory, const void *arg),
		      const void *arg, char *reason, size_t reason_size)
	__attribute__((warn_unused_result));

/*
 * Calls found() for each safe file of a directory (NULL: as above) with its
 * path and its first `size` bytes.  Nothing is mapped or changed.
 */
void share_file_each(const char *dir, size_t size,
		     void (*found)(void *arg, const char *path,
				   const void *head),
		     void *arg);

/* Removes the file, if that is what its name still stands for. */
void share_file_remove(const struct share_file *file);

/* Whether it was removed. */
bool share_file_is_gone(const struct share_file *file);

/* false: the file was removed, has lost its name or was cut; why, in words. */
bool share_file_intact(const struct share_file *file, char *reason,
		       size_t reason_size);

#endif
