#define _GNU_SOURCE
#include "counts.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// A definition in the executable comes before that of the C library for everything in the process. glibc exports most of its own
// under a second name.

static atomic_ulong allocations, writes, reads, locks;
static __thread int is_left_out;

static void count(atomic_ulong *counter) {
    if (!is_left_out) atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

struct counts counts_now(void) {
    struct counts now = { atomic_load(&allocations), atomic_load(&writes), atomic_load(&reads), atomic_load(&locks) };
    return now;
}

void counts_leave_out_this_thread(int leaves_out) { is_left_out = leaves_out; }

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

#ifdef IS_SANITIZED

int counts_are_taken(void) { return 0; }

#else

int counts_are_taken(void) { return 1; }

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) {
    count(&allocations);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count(&allocations);
    return __libc_calloc(number, size);
}

void *realloc(void *pointer, size_t size) {
    count(&allocations);
    return __libc_realloc(pointer, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count(&allocations);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **pointer, size_t alignment, size_t size) {
    count(&allocations);
    *pointer = __libc_memalign(alignment, size);
    return *pointer == NULL ? ENOMEM : 0;
}

int pthread_mutex_lock(pthread_mutex_t *mutex) {
    static int (*_Atomic original)(pthread_mutex_t *);
    count(&locks);
    // The one function here of which glibc exports no second name.
    if (original == NULL) original = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
    return original(mutex);
}

ssize_t send(int descriptor, const void *bytes, size_t size, int flags) {
    count(&writes);
    return syscall(SYS_sendto, descriptor, bytes, size, flags, NULL, 0);
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
    count(&writes);
    return syscall(SYS_sendmsg, descriptor, message, flags);
}

ssize_t write(int descriptor, const void *bytes, size_t size) {
    count(&writes);
    return syscall(SYS_write, descriptor, bytes, size);
}

ssize_t writev(int descriptor, const struct iovec *vectors, int number) {
    count(&writes);
    return syscall(SYS_writev, descriptor, vectors, number);
}

// Of liburing, whose system calls are instructions and not calls of the C library.
struct io_uring;

int io_uring_submit_and_wait(struct io_uring *ring, unsigned number) {
    static int (*_Atomic original)(struct io_uring *, unsigned);
    count(&writes);
    if (original == NULL) original = (int (*)(struct io_uring *, unsigned))dlsym(RTLD_NEXT, "io_uring_submit_and_wait");
    return original(ring, number);
}

ssize_t read(int descriptor, void *bytes, size_t size) {
    count(&reads);
    return syscall(SYS_read, descriptor, bytes, size);
}

ssize_t recv(int descriptor, void *bytes, size_t size, int flags) {
    count(&reads);
    return syscall(SYS_recvfrom, descriptor, bytes, size, flags, NULL, NULL);
}

#endif
