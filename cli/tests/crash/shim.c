/* Stands between a program and the files in one folder (LD_PRELOAD), and counts what changes them:
 * writes, new lengths, syncs, new names, renamings and removals.
 *
 *   CRASH_ROOT   only files in this folder count
 *   CRASH_AT     the n-th of these calls, counted from 0, is where it happens
 *   CRASH_HOW    stop: the process ends before the call is made
 *                half: of a write the first half is made, then the process ends
 *                sync: the n-th sync fails with EIO, once; what it should have made certain is not
 *                full: from the n-th call on, whatever takes room fails with ENOSPC
 *   CRASH_COUNT  the number of calls (with sync: of syncs) is written here, as 8 bytes, at every one
 *   CRASH_TRACE  every call is appended to this file, for a power cut to be played afterwards
 *
 * Written in C and outside the workspace, in which unsafe code is denied. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum how { NOTHING, STOP, HALF, SYNC, FULL };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int ready;
static const char *root;
static size_t root_len;
static uint64_t at = UINT64_MAX;
static enum how how;
static uint64_t calls, syncs;
static volatile uint64_t *shown;
static int trace = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void begin(void) {
    if (ready) return;
    ready = 1;
    root = getenv("CRASH_ROOT");
    root_len = root ? strlen(root) : 0;
    const char *n = getenv("CRASH_AT"), *h = getenv("CRASH_HOW");
    if (n) at = strtoull(n, NULL, 10);
    if (h)
        how = !strcmp(h, "stop") ? STOP : !strcmp(h, "half") ? HALF : !strcmp(h, "sync") ? SYNC
            : !strcmp(h, "full") ? FULL : NOTHING;
    const char *count = getenv("CRASH_COUNT"), *to = getenv("CRASH_TRACE");
    if (count) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, count, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0 && syscall(SYS_ftruncate, fd, 8) == 0) {
            void *map = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (map != MAP_FAILED) shown = map;
        }
        if (fd >= 0) syscall(SYS_close, fd);
    }
    if (to) trace = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* Whether a path lies in the folder; `inside` gets the rest of it. */
static int ours(const char *path, const char **inside) {
    if (!root || strncmp(path, root, root_len) != 0) return 0;
    if (path[root_len] != '/' && path[root_len] != 0) return 0;
    *inside = path[root_len] == '/' ? path + root_len + 1 : "";
    return 1;
}

static int ours_fd(int fd, char *buf, size_t len, const char **inside) {
    char name[64];
    if (!root) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, buf, len - 1);
    if (n <= 0) return 0;
    buf[n] = 0;
    return ours(buf, inside);
}

static int ours_at(int dir, const char *path, char *buf, size_t len, const char **inside) {
    if (path[0] == '/' || dir == AT_FDCWD) return ours(path, inside);
    const char *above;
    if (!ours_fd(dir, buf, len, &above)) return 0;
    size_t used = strlen(buf);
    if (used + strlen(path) + 2 > len) return 0;
    buf[used] = '/';
    strcpy(buf + used + 1, path);
    return ours(buf, inside);
}

/* One line of the trace: what, inode, two numbers, a name, a second name, bytes. */
static void note(char what, uint64_t inode, uint64_t a, uint64_t b, const char *name, const char *to,
                 const struct iovec *bytes, int count, uint64_t len) {
    if (trace < 0) return;
    uint32_t names[2] = { (uint32_t)strlen(name), (uint32_t)strlen(to) };
    char head[1 + 8 * 4 + 8];
    head[0] = what;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &a, 8);
    memcpy(head + 17, &b, 8);
    memcpy(head + 25, &len, 8);
    memcpy(head + 33, names, 8);
    struct iovec all[3 + 64];
    all[0] = (struct iovec){ head, sizeof head };
    all[1] = (struct iovec){ (void *)name, names[0] };
    all[2] = (struct iovec){ (void *)to, names[1] };
    int n = 3;
    uint64_t left = len;
    for (int i = 0; i < count && n < 67 && left > 0; i++) {
        all[n] = bytes[i];
        if (all[n].iov_len > left) all[n].iov_len = left;
        left -= all[n++].iov_len;
    }
    if (syscall(SYS_writev, trace, all, n) < 0) abort();
}

static uint64_t inode_of(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static uint64_t inode_at(int dir, const char *path) {
    struct stat st;
    return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

enum verdict { GO, HALVE, FAIL_FULL };

/* Counts a call that changes something; ends the process when it is its turn. */
static enum verdict turn(int takes_room) {
    uint64_t n = calls++;
    if (how != SYNC && shown) *shown = calls;
    if (how == FULL && n >= at && takes_room) return FAIL_FULL;
    if (n != at) return GO;
    if (how == STOP) _exit(137);
    if (how == HALF) return HALVE;
    return GO;
}

static ssize_t do_write(int fd, const struct iovec *v, int count, int64_t offset) {
    char buf[4096];
    const char *inside;
    pthread_mutex_lock(&lock);
    begin();
    int mine = ours_fd(fd, buf, sizeof buf, &inside);
    ssize_t done;
    if (mine) {
        enum verdict verdict = turn(1);
        if (verdict == FAIL_FULL) {
            pthread_mutex_unlock(&lock);
            errno = ENOSPC;
            return -1;
        }
        if (verdict == HALVE) {
            size_t half = v[0].iov_len / 2;
            if (offset < 0) syscall(SYS_write, fd, v[0].iov_base, half);
            else syscall(SYS_pwrite64, fd, v[0].iov_base, half, offset);
            _exit(137);
        }
        int64_t start = offset;
        if (offset < 0) {
            int flags = fcntl(fd, F_GETFL);
            start = (flags & O_APPEND) ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
        }
        done = offset < 0 ? syscall(SYS_writev, fd, v, count)
                          : count == 1 ? syscall(SYS_pwrite64, fd, v[0].iov_base, v[0].iov_len, offset)
                                       : syscall(SYS_pwritev, fd, v, count, offset, 0);
        if (done > 0) note('w', inode_of(fd), (uint64_t)start, 0, inside, "", v, count, (uint64_t)done);
    } else {
        pthread_mutex_unlock(&lock);
        return offset < 0 ? syscall(SYS_writev, fd, v, count)
                          : count == 1 ? syscall(SYS_pwrite64, fd, v[0].iov_base, v[0].iov_len, offset)
                                       : syscall(SYS_pwritev, fd, v, count, offset, 0);
    }
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return done;
}

ssize_t write(int fd, const void *bytes, size_t len) {
    struct iovec v = { (void *)bytes, len };
    return do_write(fd, &v, 1, -1);
}

ssize_t writev(int fd, const struct iovec *v, int count) { return do_write(fd, v, count, -1); }

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset) {
    struct iovec v = { (void *)bytes, len };
    return do_write(fd, &v, 1, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset) { return pwrite64(fd, bytes, len, offset); }

ssize_t pwritev64(int fd, const struct iovec *v, int count, off64_t offset) { return do_write(fd, v, count, offset); }

ssize_t pwritev(int fd, const struct iovec *v, int count, off_t offset) { return do_write(fd, v, count, offset); }

static int do_sync(int fd, long number) {
    char buf[4096];
    const char *inside;
    pthread_mutex_lock(&lock);
    begin();
    int result;
    if (ours_fd(fd, buf, sizeof buf, &inside)) {
        turn(0);
        uint64_t n = syncs++;
        if (how == SYNC && shown) *shown = syncs;
        if (how == SYNC && n == at) {
            note('e', inode_of(fd), 0, 0, inside, "", NULL, 0, 0);
            pthread_mutex_unlock(&lock);
            errno = EIO;
            return -1;
        }
        result = (int)syscall(number, fd);
        if (result == 0) note('s', inode_of(fd), 0, 0, inside, "", NULL, 0, 0);
    } else {
        result = (int)syscall(number, fd);
    }
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int fsync(int fd) { return do_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }

int ftruncate64(int fd, off64_t len) {
    char buf[4096];
    const char *inside;
    pthread_mutex_lock(&lock);
    begin();
    int mine = ours_fd(fd, buf, sizeof buf, &inside);
    if (mine) turn(0);
    int result = (int)syscall(SYS_ftruncate, fd, len);
    int saved = errno;
    if (mine && result == 0) note('t', inode_of(fd), (uint64_t)len, 0, inside, "", NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

static int do_open(int dir, const char *path, int flags, mode_t mode) {
    char buf[4096];
    const char *inside;
    if (!(flags & (O_CREAT | O_TRUNC))) return (int)syscall(SYS_openat, dir, path, flags, mode);
    pthread_mutex_lock(&lock);
    begin();
    int mine = ours_at(dir, path, buf, sizeof buf, &inside), is_new = 0, cut = 0;
    if (mine) {
        struct stat st;
        is_new = fstatat(dir, path, &st, 0) != 0;
        cut = !is_new && (flags & O_TRUNC) && st.st_size > 0;
        if ((is_new || cut) && turn(is_new) == FAIL_FULL) {
            pthread_mutex_unlock(&lock);
            errno = ENOSPC;
            return -1;
        }
    }
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    int saved = errno;
    if (mine && fd >= 0 && is_new) note('c', inode_of(fd), 0, 0, inside, "", NULL, 0, 0);
    if (mine && fd >= 0 && cut) note('t', inode_of(fd), 0, 0, inside, "", NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

#define MODE(flags, mode)                                       \
    mode_t mode = 0;                                            \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                      \
        va_list args;                                           \
        va_start(args, flags);                                  \
        mode = va_arg(args, mode_t);                            \
        va_end(args);                                           \
    }

int open64(const char *path, int flags, ...) { MODE(flags, mode) return do_open(AT_FDCWD, path, flags, mode); }
int open(const char *path, int flags, ...) { MODE(flags, mode) return do_open(AT_FDCWD, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags, mode) return do_open(dir, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags, mode) return do_open(dir, path, flags, mode); }

int mkdir(const char *path, mode_t mode) {
    const char *inside;
    pthread_mutex_lock(&lock);
    begin();
    int mine = ours(path, &inside);
    if (mine && turn(1) == FAIL_FULL) {
        pthread_mutex_unlock(&lock);
        errno = ENOSPC;
        return -1;
    }
    int result = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    int saved = errno;
    if (mine && result == 0) note('d', inode_at(AT_FDCWD, path), 0, 0, inside, "", NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int rename(const char *from, const char *to) {
    const char *a, *b = "";
    pthread_mutex_lock(&lock);
    begin();
    int mine = ours(from, &a) && ours(to, &b);
    if (mine) turn(0);
    uint64_t inode = mine ? inode_at(AT_FDCWD, from) : 0;
    int result = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    int saved = errno;
    if (mine && result == 0) note('r', inode, 0, 0, a, b, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

static int do_unlink(int dir, const char *path, int flags) {
    char buf[4096];
    const char *inside;
    pthread_mutex_lock(&lock);
    begin();
    int mine = ours_at(dir, path, buf, sizeof buf, &inside);
    if (mine) turn(0);
    uint64_t inode = mine ? inode_at(dir, path) : 0;
    int result = (int)syscall(SYS_unlinkat, dir, path, flags);
    int saved = errno;
    if (mine && result == 0) note('u', inode, 0, 0, inside, "", NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int unlink(const char *path) { return do_unlink(AT_FDCWD, path, 0); }
int unlinkat(int dir, const char *path, int flags) { return do_unlink(dir, path, flags); }
int rmdir(const char *path) { return do_unlink(AT_FDCWD, path, AT_REMOVEDIR); }
