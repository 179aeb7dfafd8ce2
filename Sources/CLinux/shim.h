// The door to what Linux and the C library do and Glibc's module does not show: blocks taken and given back, files in
// memory, memory that is free.
#ifndef WHARF_CLINUX_H
#define WHARF_CLINUX_H
#include <linux/falloc.h>
#include <linux/memfd.h>
#include <malloc.h>

// Glibc declares these two under _GNU_SOURCE, which also renames members of fd_set; then the same headers mean something
// else here than in Swift's Glibc module, and the compiler refuses both. On 64-bit Linux off_t is long.
extern int fallocate(int fd, int mode, long offset, long length);
extern int memfd_create(const char *name, unsigned int flags);

// Takes the blocks of a range, and lengthens the file to hold it. Never emulated by writing, as posix_fallocate is.
static inline int wharf_fallocate(int fd, long offset, long length) { return fallocate(fd, 0, offset, length); }

// Gives the blocks of a range back: it reads as zeros from then on, and the file stays as long as it is.
static inline int wharf_punch_hole(int fd, long offset, long length) {
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

// A file in memory, which no directory names.
static inline int wharf_memfd(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

// Gives the pages that the allocator holds and nobody uses back to the system.
static inline void wharf_trim_memory(void) { malloc_trim(0); }
#endif
