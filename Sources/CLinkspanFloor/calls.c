#define _GNU_SOURCE
#include "calls.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

const void *linkspan_find(const void *haystack, size_t haystack_length, const void *needle, size_t needle_length) {
  return memmem(haystack, haystack_length, needle, needle_length);
}

size_t linkspan_cores(int *cores, size_t room) {
  cpu_set_t set;
  size_t count = 0;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  for (int core = 0; core < CPU_SETSIZE && count < room; core++) {
    if (CPU_ISSET(core, &set)) cores[count++] = core;
  }
  return count;
}

void linkspan_pin(const int *cores, size_t count) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (size_t i = 0; i < count; i++) CPU_SET(cores[i], &set);
  sched_setaffinity(0, sizeof set, &set);
}

void linkspan_pin_thread(int thread, int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(thread, sizeof set, &set);
}

void linkspan_sleep_precisely(void) { prctl(PR_SET_TIMERSLACK, 1L); }

void linkspan_send_at_once(int descriptor) {
  int yes = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

void linkspan_cork(int descriptor, int is_corked) {
  setsockopt(descriptor, IPPROTO_TCP, TCP_CORK, &is_corked, sizeof is_corked);
}

int linkspan_poller(void) { return epoll_create1(EPOLL_CLOEXEC); }

void linkspan_watch(int poller, int descriptor, int is_new, int writes, void *pointer) {
  struct epoll_event event = {.events = EPOLLIN | (writes ? EPOLLOUT : 0), .data.ptr = pointer};
  epoll_ctl(poller, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event);
}

int linkspan_await(int poller, struct linkspan_event *events, int room, int milliseconds) {
  struct epoll_event found[512];
  int count = epoll_wait(poller, found, room < 512 ? room : 512, milliseconds);
  for (int i = 0; i < count; i++) {
    events[i].pointer = found[i].data.ptr;
    events[i].is_readable = (found[i].events & ~(uint32_t)EPOLLOUT) != 0;
    events[i].is_writable = (found[i].events & EPOLLOUT) != 0;
  }
  return count;
}

int linkspan_signal(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int linkspan_timer(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK); }

void linkspan_timer_set(int timer, uint64_t nanoseconds) {
  struct itimerspec time = {
      .it_value = {.tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = (long)(nanoseconds % 1000000000)}};
  timerfd_settime(timer, TFD_TIMER_ABSTIME, &time, NULL);
}

void linkspan_mark(void) { __asm__ volatile(""); }
