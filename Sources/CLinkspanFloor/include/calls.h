#pragma once
/* Linux calls that the Glibc module does not export. System headers stay out of here: Swift would count their types as ours. */
#include <stddef.h>
#include <stdint.h>

/* memmem(3). */
const void *linkspan_find(const void *haystack, size_t haystack_length, const void *needle, size_t needle_length);

/* The cores that the calling thread may run on, at most `room` of them; returns how many (sched_getaffinity(2)). */
size_t linkspan_cores(int *cores, size_t room);

/* Keeps the calling thread, and processes that it starts, on these cores (sched_setaffinity(2)). */
void linkspan_pin(const int *cores, size_t count);

/* Keeps a thread of any process on one core; one that is gone is left alone. */
void linkspan_pin_thread(int thread, int core);

/* Has the kernel end the sleeps of the calling thread when they are due, and not up to 50 microseconds later (PR_SET_TIMERSLACK of prctl(2)). */
void linkspan_sleep_precisely(void);

/* TCP_NODELAY and TCP_CORK of tcp(7). */
void linkspan_send_at_once(int descriptor);
void linkspan_cork(int descriptor, int is_corked);

/* epoll(7). */
struct linkspan_event {
  void *pointer;
  int is_readable; /* or broken */
  int is_writable;
};
int linkspan_poller(void);
/* Watches for what can be read, and for room to write if `writes`; `is_new` tells whether it was watched before. */
void linkspan_watch(int poller, int descriptor, int is_new, int writes, void *pointer);
/* At most 512 events. */
int linkspan_await(int poller, struct linkspan_event *events, int room, int milliseconds);

/* eventfd(2), non-blocking. */
int linkspan_signal(void);

/* timerfd_create(2) on the monotonic clock, non-blocking, and the moment of its next expiry. */
int linkspan_timer(void);
void linkspan_timer_set(int timer, uint64_t nanoseconds);

/* Does nothing: callgrind writes down its counts whenever this is called. */
void linkspan_mark(void);
