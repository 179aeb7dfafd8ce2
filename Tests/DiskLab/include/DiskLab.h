// A library that is loaded before libc (LD_PRELOAD) and stands between a program and its disk: it makes calls fail, it
// kills the program at a chosen one, and it writes down all of them, so that a power cut can be played from the record.
//
//     DISKLAB_ROOT=PATH        only what lies below this folder is touched; without it the library does nothing
//     DISKLAB_RULES=FILE       what goes wrong; may be replaced (by rename) at any time
//     DISKLAB_KILL=K           SIGKILL in place of the K-th call that changes something, from 1
//     DISKLAB_JOURNAL=FILE     every call that changed something is appended, with its bytes, in the order of its effect
//
// A rule is a line: OPERATION PART WHAT [WHEN]
//
//     OPERATION   open (to write) · write · truncate · allocate · punch · chmod · fsync (fdatasync too) · rename · unlink
//                 mkdir · syncdir (fsync of a folder) · any (all of these) · read (pread, sendfile)
//     PART        of the path below the root, of either path of a rename; `*`: all
//     WHAT        EIO, ENOSPC, EROFS, EDQUOT, EMFILE: the call fails so · short: half of the bytes are written or read ·
//                 ignore: nothing happens, and the call says it did · late: an fsync that is only done, unseen, after the
//                 file's next rename
//     WHEN        always (as without it) · 3: the third time only, by this rule's count · 3+: from then on
//
// The first rule that has a say decides. What SQLite's processes share (`…-shm`) is memory by another name: it is left
// alone. A descriptor is known by what the kernel says of it (/proc/self/fd), so `dup` and `close` need no watching.
#ifndef DISKLAB_H
#define DISKLAB_H
#include <stdint.h>

enum disklab_operation {
    DISKLAB_CREATE = 1,  // path; file: its inode, which is new from here on
    DISKLAB_WRITE,       // file, offset; data
    DISKLAB_TRUNCATE,    // file; offset: the new size
    DISKLAB_ALLOCATE,    // file, offset; length in `value`
    DISKLAB_PUNCH,       // file, offset; length in `value`
    DISKLAB_CHMOD,       // file; `value`: the mode
    DISKLAB_FSYNC,       // file
    DISKLAB_FDATASYNC,   // file
    DISKLAB_RENAME,      // path, and where to in the data; file: its inode
    DISKLAB_UNLINK,      // path
    DISKLAB_MKDIR,       // path
    DISKLAB_SYNCDIR,     // path
    DISKLAB_KILLED,      // path; `value`: the operation that was not done
};

// A record of the journal: this head, the path below the root, the data. Numbers as the machine has them.
struct disklab_record {
    uint32_t operation;
    uint32_t path_length;
    uint64_t data_length;
    uint64_t file;
    uint64_t offset;
    uint64_t value;
};
#endif
