#pragma once
/* Linux calls that the Glibc module does not export. */
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

/* memmem(3). */
const void *linkspan_find(const void *haystack, size_t haystack_length, const void *needle, size_t needle_length);

/* The cores that the calling thread may run on, at most `room` of them; returns how many (sched_getaffinity(2)). */
size_t linkspan_cores(int *cores, size_t room);

/* Keeps the calling thread, and processes that it starts, on these cores (sched_setaffinity(2)). */
void linkspan_pin(const int *cores, size_t count);

/* TCP_NODELAY and TCP_CORK of tcp(7). */
void linkspan_send_at_once(int descriptor);
void linkspan_cork(int descriptor, int is_corked);
