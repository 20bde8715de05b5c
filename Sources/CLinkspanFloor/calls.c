#define _GNU_SOURCE
#include "calls.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

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

void linkspan_send_at_once(int descriptor) {
  int yes = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

void linkspan_cork(int descriptor, int is_corked) {
  setsockopt(descriptor, IPPROTO_TCP, TCP_CORK, &is_corked, sizeof is_corked);
}
