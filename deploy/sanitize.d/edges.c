// Tells the thread sanitizer of two ways in which one thread follows another that it cannot see by itself: they lead
// through libraries of Swift's that are not instrumented. Preloaded by deploy/sanitize; for Swift 6.0 to 6.3 on Linux.
//
// 1. Swift's `Mutex` is a futex: its fast path is inlined into our code, where the sanitizer sees the atomic, but the
// contended one is in libswiftSynchronization.so. Without these edges all that a contended lock guards looks like a
// race. (Mutex/LinuxImpl.swift of the standard library.)
//
// 2. A continuation that was resumed before its task awaits it: the runtime tells of the resuming (a release of the
// task), and of the acquire only where the task had to be suspended (swift_continuation_await in Concurrency/Task.cpp).
// A task gives the callee's memory back when an asynchronous call has returned; that is where it is told here.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

#define METHOD __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *handle

// The sanitizer's, in the program itself; nothing in a program without it.
extern void __tsan_acquire(void *) __attribute__((weak));
extern void __tsan_release(void *) __attribute__((weak));

static void *next(void **kept, const char *name) {
    void *found = __atomic_load_n(kept, __ATOMIC_ACQUIRE);
    if (!found) {
        found = dlsym(RTLD_NEXT, name);
        __atomic_store_n(kept, found, __ATOMIC_RELEASE);
    }
    return found;
}

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
METHOD void lockSlow(uint32_t thread, SELF) __asm__(LOCK);
METHOD void lockSlow(uint32_t thread, SELF) {
    static void *kept;
    ((METHOD void (*)(uint32_t, SELF))next(&kept, LOCK))(thread, handle);
    if (__tsan_acquire) __tsan_acquire(handle);
}

#define TRY "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
METHOD bool tryLockSlow(SELF) __asm__(TRY);
METHOD bool tryLockSlow(SELF) {
    static void *kept;
    bool taken = ((METHOD bool (*)(SELF))next(&kept, TRY))(handle);
    if (taken && __tsan_acquire) __tsan_acquire(handle);
    return taken;
}

#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
METHOD void unlockSlow(SELF) __asm__(UNLOCK);
METHOD void unlockSlow(SELF) {
    static void *kept;
    if (__tsan_release) __tsan_release(handle);
    ((METHOD void (*)(SELF))next(&kept, UNLOCK))(handle);
}

#define DEALLOC "swift_task_dealloc"
#define FUNCTION __attribute__((swiftcall))
FUNCTION void *swift_task_getCurrent(void) __attribute__((weak));
FUNCTION void swift_task_dealloc(void *memory) {
    static void *kept;
    void *task = swift_task_getCurrent ? swift_task_getCurrent() : 0;
    if (task && __tsan_acquire) __tsan_acquire(task);
    ((FUNCTION void (*)(void *))next(&kept, DEALLOC))(memory);
}
