// What is to happen to a call, by the rules in force. Call all of it under the lab's lock.
#ifndef DISKLAB_RULES_H
#define DISKLAB_RULES_H

struct disklab_verdict {
    int code;    // errno of a call that fails; 0: it does not
    int half;    // it does half of what it should
    int ignore;  // it does nothing, and says that it did
    int late;    // an fsync that waits for the file's next rename
};

// Names the file with the rules.
void disklab_rules_in(const char *file);

// Whether there may be rules at all.
int disklab_has_rules(void);

// `to`: the other path, of a rename. `changes`: whether `any` means it.
struct disklab_verdict disklab_judge(const char *operation, const char *path, const char *to, int changes);
#endif
