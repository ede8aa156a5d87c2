/* Counts what a process does to the files below a folder, and disturbs it; for LD_PRELOAD on Linux.

   DISTURB_FOLDER   the folder, an absolute path
   DISTURB_HOW      "kill": at the event DISTURB_AT the process is killed, a write being half done;
                    "torn write": the same, but only writes of data count as events;
                    "full": from that event on nothing can be written or made, as on a full disk;
                    "read-only": nothing can be changed at all
   DISTURB_AT       the number of an event, from 1
   DISTURB_COUNT    a file outside of the folder, which says at the end how many events there were, and how many
                    of them were writes of data */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))real(#name))
#define EXPORT __attribute__((visibility("default")))

static atomic_long events, writes;
static long at;
static const char *folder, *how;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

/* Reads the variables: when the process begins, and when a fork of one that was not disturbed calls it. */
EXPORT __attribute__((constructor)) void disturb(void) {
    folder = getenv("DISTURB_FOLDER");
    how = getenv("DISTURB_HOW");
    if (!how) how = "";
    at = getenv("DISTURB_AT") ? atol(getenv("DISTURB_AT")) : 0;
}

__attribute__((destructor)) static void end(void) {
    const char *path = getenv("DISTURB_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    fprintf(file, "%ld %ld\n", atomic_load(&events), atomic_load(&writes));
    fclose(file);
}

static int is_inside(const char *path) {
    return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_file_inside(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_inside(path);
}

/* Counts an event. Returns whether the process is to be killed now. */
static int is_last(void) { return atomic_fetch_add(&events, 1) + 1 == at && strcmp(how, "kill") == 0; }

/* The same for a write of data. */
static int is_last_write(void) {
    int last = is_last();
    return last | (atomic_fetch_add(&writes, 1) + 1 == at && strcmp(how, "torn write") == 0);
}

static int is_read_only(void) { return strcmp(how, "read-only") == 0; }

static int is_full(void) { return strcmp(how, "full") == 0 && atomic_load(&events) >= at; }

static void end_here(void) { kill(getpid(), SIGKILL); }

#define WRITE(name, parameters, half, whole)                                      \
    EXPORT ssize_t name parameters {                                              \
        if (is_file_inside(fd)) {                                                 \
            int last = is_last_write();                                           \
            if (is_full()) return errno = ENOSPC, -1;                             \
            if (last) {                                                           \
                half;                                                             \
                end_here();                                                       \
            }                                                                     \
        }                                                                         \
        return whole;                                                             \
    }

WRITE(write, (int fd, const void *data, size_t size), REAL(write)(fd, data, size / 2), REAL(write)(fd, data, size))
WRITE(pwrite, (int fd, const void *data, size_t size, off_t from), REAL(pwrite)(fd, data, size / 2, from),
      REAL(pwrite)(fd, data, size, from))
WRITE(pwrite64, (int fd, const void *data, size_t size, off64_t from), REAL(pwrite64)(fd, data, size / 2, from),
      REAL(pwrite64)(fd, data, size, from))

/* An event that happens wholly or not; made: whether it needs room on the disk. */
#define STEP(inside, made)                                    \
    if (inside) {                                             \
        if (is_last()) end_here();                            \
        if (is_read_only()) return errno = EROFS, -1;         \
        if ((made) && is_full()) return errno = ENOSPC, -1;   \
    }

EXPORT int fsync(int fd) {
    if (is_file_inside(fd) && is_last()) end_here();
    return REAL(fsync)(fd);
}
EXPORT int fdatasync(int fd) {
    if (is_file_inside(fd) && is_last()) end_here();
    return REAL(fdatasync)(fd);
}
EXPORT int rename(const char *from, const char *to) {
    STEP(is_inside(to), 0)
    return REAL(rename)(from, to);
}
EXPORT int renameat2(int one, const char *from, int other, const char *to, unsigned flags) {
    STEP(is_inside(to), 0)
    return REAL(renameat2)(one, from, other, to, flags);
}
EXPORT int link(const char *from, const char *to) {
    STEP(is_inside(to), 1)
    return REAL(link)(from, to);
}
EXPORT int linkat(int one, const char *from, int other, const char *to, int flags) {
    STEP(is_inside(to), 1)
    return REAL(linkat)(one, from, other, to, flags);
}
EXPORT int unlink(const char *path) {
    STEP(is_inside(path), 0)
    return REAL(unlink)(path);
}
EXPORT int mkdir(const char *path, mode_t mode) {
    STEP(is_inside(path), 1)
    return REAL(mkdir)(path, mode);
}
EXPORT int access(const char *path, int mode) {
    if (mode & W_OK && is_read_only() && is_inside(path)) return errno = EROFS, -1;
    return REAL(access)(path, mode);
}

#define OPEN(name, parameters, ...)                                                    \
    EXPORT int name parameters {                                                       \
        mode_t mode = 0;                                                               \
        if (flags & (O_CREAT | O_TMPFILE)) {                                           \
            va_list arguments;                                                         \
            va_start(arguments, flags);                                                \
            mode = va_arg(arguments, mode_t);                                          \
            va_end(arguments);                                                         \
        }                                                                              \
        if (flags & (O_WRONLY | O_RDWR | O_CREAT)) STEP(is_inside(path), flags & O_CREAT) \
        return REAL(name)(__VA_ARGS__, mode);                                          \
    }

OPEN(open, (const char *path, int flags, ...), path, flags)
OPEN(open64, (const char *path, int flags, ...), path, flags)
OPEN(openat, (int at_folder, const char *path, int flags, ...), at_folder, path, flags)
OPEN(openat64, (int at_folder, const char *path, int flags, ...), at_folder, path, flags)
