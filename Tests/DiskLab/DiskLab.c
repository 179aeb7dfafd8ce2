// The calls that stand in for libc's own, and what they do besides: judge, count, kill, carry out, write down.
#define _GNU_SOURCE
#include "DiskLab.h"
#include "Rules.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// One call at a time, from the judgement to the record: the journal's order is the order in which things happened.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static long count, kill_at;
static ino_t late[256];
static size_t late_count;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISKLAB_ROOT");
    if (!path || !realpath(path, root)) return;
    const char *rules = getenv("DISKLAB_RULES"), *record = getenv("DISKLAB_JOURNAL"), *death = getenv("DISKLAB_KILL");
    if (rules) disklab_rules_in(rules);
    if (death) kill_at = atol(death);
    if (record) {
        journal = (int)syscall(SYS_openat, AT_FDCWD, record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (journal < 0) {
            perror(record);
            _exit(70);
        }
    }
    root_length = strlen(root);
}

// The part below the root, or NULL: not ours. A path is as the program writes it, absolute or from where it stands.
static const char *below(const char *path) {
    static const char shared[] = "-shm";
    if (!root_length || strncmp(path, root, root_length) || (path[root_length] && path[root_length] != '/')) return NULL;
    size_t length = strlen(path);
    if (length >= sizeof shared - 1 && !strcmp(path + length - (sizeof shared - 1), shared)) return NULL;
    return path[root_length] ? path + root_length + 1 : path + root_length;
}

// Where an open descriptor leads to by now. A file without a name any more is told by its last one.
static const char *place(int descriptor, char buffer[PATH_MAX], struct stat *status) {
    if (!root_length) return NULL;
    char link[32];
    if (fstat(descriptor, status) || !(S_ISREG(status->st_mode) || S_ISDIR(status->st_mode))) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    if (length <= 0) return NULL;
    buffer[length] = 0;
    char *gone = strstr(buffer, " (deleted)");
    if (gone) *gone = 0;
    return below(buffer);
}

static void append(const char *bytes, size_t length) {
    while (length) {
        long done = syscall(SYS_write, journal, bytes, length);
        // A record that is not whole would be a lie about the disk.
        if (done < 0 && errno != EINTR) _exit(70);
        if (done > 0) bytes += done, length -= (size_t)done;
    }
}

static void record(
    enum disklab_operation operation, const char *path, ino_t file, uint64_t offset, uint64_t value, const void *data,
    size_t length) {
    if (journal < 0) return;
    int before = errno;
    struct disklab_record head = {operation, (uint32_t)strlen(path), length, file, offset, value};
    append((const char *)&head, sizeof head);
    append(path, head.path_length);
    append(data, length);
    errno = before;
}

// Locks, and says what is to happen to a call; `leave` unlocks.
static struct disklab_verdict enter(enum disklab_operation operation, const char *word, const char *path, const char *to) {
    pthread_mutex_lock(&lock);
    if (++count == kill_at) {
        record(DISKLAB_KILLED, path, 0, 0, operation, to ? to : "", to ? strlen(to) : 0);
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;) pause();
    }
    return disklab_judge(word, path, to, 1);
}

static long leave(long result) {
    pthread_mutex_unlock(&lock);
    return result;
}

static long refuse(int code) {
    pthread_mutex_unlock(&lock);
    errno = code;
    return -1;
}

// MARK: Files

static int opened(int folder, const char *name, int flags, mode_t mode) {
    const char *path = folder == AT_FDCWD || name[0] == '/' ? below(name) : NULL;
    if (!path || !(flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR))) {
        return (int)syscall(SYS_openat, folder, name, flags, mode);
    }
    struct stat status;
    // Opening what is there changes nothing on the disk and is no step to be killed at.
    int is_new = (flags & O_CREAT) && stat(name, &status) != 0;
    struct disklab_verdict verdict;
    if (is_new) {
        verdict = enter(DISKLAB_CREATE, "open", path, NULL);
    } else {
        pthread_mutex_lock(&lock);
        verdict = disklab_judge("open", path, NULL, 1);
    }
    if (verdict.code) return (int)refuse(verdict.code);
    int descriptor = (int)syscall(SYS_openat, folder, name, flags, mode);
    if (descriptor >= 0 && !fstat(descriptor, &status)) {
        if (is_new) record(DISKLAB_CREATE, path, status.st_ino, 0, status.st_mode & 07777, NULL, 0);
        if (!is_new && (flags & O_TRUNC)) record(DISKLAB_TRUNCATE, path, status.st_ino, 0, 0, NULL, 0);
    }
    return (int)leave(descriptor);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *name, int flags, ...) {
    MODE(flags)
    return opened(AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...) {
    MODE(flags)
    return opened(AT_FDCWD, name, flags, mode);
}
int openat(int folder, const char *name, int flags, ...) {
    MODE(flags)
    return opened(folder, name, flags, mode);
}
int openat64(int folder, const char *name, int flags, ...) {
    MODE(flags)
    return opened(folder, name, flags, mode);
}
int creat(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return creat(name, mode); }

// `offset` below 0: at the descriptor's own place.
static ssize_t written(int descriptor, const void *bytes, size_t length, off_t offset) {
    char buffer[PATH_MAX];
    struct stat status;
    const char *path = place(descriptor, buffer, &status);
    int is_placed = offset >= 0;
    if (path) {
        struct disklab_verdict verdict = enter(DISKLAB_WRITE, "write", path, NULL);
        if (verdict.code) return refuse(verdict.code);
        if (verdict.ignore) return leave((long)length);
        if (verdict.half) length = (length + 1) / 2;
    }
    if (path && !is_placed) {
        offset = syscall(SYS_lseek, descriptor, 0, fcntl(descriptor, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    }
    ssize_t done = is_placed ? syscall(SYS_pwrite64, descriptor, bytes, length, offset)
                             : syscall(SYS_write, descriptor, bytes, length);
    if (!path) return done;
    if (done > 0) record(DISKLAB_WRITE, path, status.st_ino, (uint64_t)offset, 0, bytes, (size_t)done);
    return leave(done);
}

ssize_t write(int descriptor, const void *bytes, size_t length) { return written(descriptor, bytes, length, -1); }
ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset) {
    return written(descriptor, bytes, length, offset);
}
ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) {
    return written(descriptor, bytes, length, offset);
}
ssize_t writev(int descriptor, const struct iovec *parts, int number) {
    char buffer[PATH_MAX];
    struct stat status;
    if (!place(descriptor, buffer, &status)) return syscall(SYS_writev, descriptor, parts, number);
    // To a file, what the first part takes is a short write, which the caller has to go on from.
    return number > 0 ? written(descriptor, parts[0].iov_base, parts[0].iov_len, -1) : 0;
}

// What is to be done to an open file beside its bytes; `file` is its inode while `call` runs.
#define ON_FILE(operation, word, offset, value, call) \
    char buffer[PATH_MAX]; \
    struct stat status; \
    const char *path = place(descriptor, buffer, &status); \
    if (!path) return (int)(call); \
    struct disklab_verdict verdict = enter(operation, word, path, NULL); \
    if (verdict.code) return (int)refuse(verdict.code); \
    if (verdict.ignore) return (int)leave(0); \
    long result = call; \
    if (!result) record(operation, path, status.st_ino, (uint64_t)(offset), (uint64_t)(value), NULL, 0); \
    return (int)leave(result);

int ftruncate(int descriptor, off_t size) {
    ON_FILE(DISKLAB_TRUNCATE, "truncate", size, 0, syscall(SYS_ftruncate, descriptor, size))
}
int ftruncate64(int descriptor, off64_t size) { return ftruncate(descriptor, size); }
int fchmod(int descriptor, mode_t mode) {
    ON_FILE(DISKLAB_CHMOD, "chmod", 0, mode, syscall(SYS_fchmod, descriptor, mode))
}
int fallocate(int descriptor, int mode, off_t offset, off_t length) {
    int is_hole = mode & FALLOC_FL_PUNCH_HOLE;
    ON_FILE(
        is_hole ? DISKLAB_PUNCH : DISKLAB_ALLOCATE, is_hole ? "punch" : "allocate", offset, length,
        syscall(SYS_fallocate, descriptor, mode, offset, length))
}
int fallocate64(int descriptor, int mode, off64_t offset, off64_t length) {
    return fallocate(descriptor, mode, offset, length);
}

static int synced(int descriptor, enum disklab_operation operation, long call) {
    char buffer[PATH_MAX];
    struct stat status;
    const char *path = place(descriptor, buffer, &status);
    if (!path) return (int)syscall(call, descriptor);
    int is_folder = S_ISDIR(status.st_mode);
    if (is_folder) operation = DISKLAB_SYNCDIR;
    struct disklab_verdict verdict = enter(operation, is_folder ? "syncdir" : "fsync", path, NULL);
    if (verdict.code) return (int)refuse(verdict.code);
    if (verdict.late && late_count < sizeof late / sizeof *late) late[late_count++] = status.st_ino;
    if (verdict.ignore || verdict.late) return (int)leave(0);
    long result = syscall(call, descriptor);
    if (!result) record(operation, path, status.st_ino, 0, 0, NULL, 0);
    return (int)leave(result);
}

int fsync(int descriptor) { return synced(descriptor, DISKLAB_FSYNC, SYS_fsync); }
int fdatasync(int descriptor) { return synced(descriptor, DISKLAB_FDATASYNC, SYS_fdatasync); }

// MARK: Names

static int renamed(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    const char *path = below(from), *goal = below(to);
    if (!path || !goal) return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    struct disklab_verdict verdict = enter(DISKLAB_RENAME, "rename", path, goal);
    if (verdict.code) return (int)refuse(verdict.code);
    if (verdict.ignore) return (int)leave(0);
    struct stat status;
    long result = stat(from, &status);
    if (!result) result = syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    if (result) return (int)leave(result);
    record(DISKLAB_RENAME, path, status.st_ino, 0, 0, goal, strlen(goal));
    for (size_t i = 0; i < late_count; i++) {
        if (late[i] != status.st_ino) continue;
        late[i] = late[--late_count];
        record(DISKLAB_FSYNC, goal, status.st_ino, 0, 0, NULL, 0);
        break;
    }
    return (int)leave(0);
}

int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renamed(a, from, b, to, flags); }

static int unlinked(int folder, const char *name, int flags) {
    const char *path = below(name);
    if (!path) return (int)syscall(SYS_unlinkat, folder, name, flags);
    struct disklab_verdict verdict = enter(DISKLAB_UNLINK, "unlink", path, NULL);
    if (verdict.code) return (int)refuse(verdict.code);
    if (verdict.ignore) return (int)leave(0);
    long result = syscall(SYS_unlinkat, folder, name, flags);
    if (!result) record(DISKLAB_UNLINK, path, 0, 0, 0, NULL, 0);
    return (int)leave(result);
}

int unlink(const char *name) { return unlinked(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinked(AT_FDCWD, name, AT_REMOVEDIR); }
int unlinkat(int folder, const char *name, int flags) { return unlinked(folder, name, flags); }

static int made(int folder, const char *name, mode_t mode) {
    const char *path = below(name);
    struct stat status;
    if (!path || !stat(name, &status)) return (int)syscall(SYS_mkdirat, folder, name, mode);
    struct disklab_verdict verdict = enter(DISKLAB_MKDIR, "mkdir", path, NULL);
    if (verdict.code) return (int)refuse(verdict.code);
    if (verdict.ignore) return (int)leave(0);
    long result = syscall(SYS_mkdirat, folder, name, mode);
    if (!result) record(DISKLAB_MKDIR, path, 0, 0, mode, NULL, 0);
    return (int)leave(result);
}

int mkdir(const char *name, mode_t mode) { return made(AT_FDCWD, name, mode); }
int mkdirat(int folder, const char *name, mode_t mode) { return made(folder, name, mode); }

// MARK: Reading. It changes nothing: it is neither counted nor written down, and only a rule can make it fail.

// Below 0: it fails, with errno set; else how many bytes may be read.
static ssize_t readable(int descriptor, size_t length) {
    char buffer[PATH_MAX];
    struct stat status;
    const char *path = disklab_has_rules() ? place(descriptor, buffer, &status) : NULL;
    if (!path) return (ssize_t)length;
    pthread_mutex_lock(&lock);
    struct disklab_verdict verdict = disklab_judge("read", path, NULL, 0);
    if (verdict.code) return refuse(verdict.code);
    return leave((long)(verdict.half ? (length + 1) / 2 : length));
}

ssize_t pread(int descriptor, void *bytes, size_t length, off_t offset) {
    ssize_t most = readable(descriptor, length);
    return most < 0 ? most : syscall(SYS_pread64, descriptor, bytes, most, offset);
}
ssize_t pread64(int descriptor, void *bytes, size_t length, off64_t offset) {
    return pread(descriptor, bytes, length, offset);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t length) {
    ssize_t most = readable(from, length);
    return most < 0 ? most : syscall(SYS_sendfile, to, from, offset, most);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t length) { return sendfile(to, from, offset, length); }
