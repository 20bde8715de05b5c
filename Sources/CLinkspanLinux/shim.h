#pragma once
/* Linux calls that the Glibc module does not export, or that are variadic. */
#include <linux/sockios.h>
#include <sched.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline void linkspan_name_thread(const char *name) {
  prctl(PR_SET_NAME, name, 0, 0, 0);
}

/* Bytes in a socket's send queue that the peer has not acknowledged (tcp(7), SIOCOUTQ); -1 on error. */
static inline int linkspan_unsent_bytes(int descriptor) {
  int count = 0;
  return ioctl(descriptor, SIOCOUTQ, &count) == 0 ? count : -1;
}

/* struct sched_attr of sched_setattr(2) in its first size, which every kernel takes. */
struct linkspan_sched_attr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

/* Asks for slices of so many nanoseconds for the calling thread, unless somebody gave it a scheduling policy of its own. 0 when it was taken;
   before Linux 6.12 it is taken and changes nothing. */
static inline int linkspan_set_slice(uint64_t nanoseconds) {
  struct linkspan_sched_attr attributes = {0};
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return -1;
  if (attributes.policy != SCHED_OTHER) return -1;
  attributes.size = sizeof attributes;
  attributes.runtime = nanoseconds;
  return (int)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

/* The slice of the calling thread, nanoseconds; 0 where the kernel does not tell. */
static inline uint64_t linkspan_slice(void) {
  struct linkspan_sched_attr attributes = {0};
  return syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) == 0 ? attributes.runtime : 0;
}
