#pragma once
/* Linux calls that the Glibc module does not export, or that are variadic. */
#include <errno.h>
#include <linux/aio_abi.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
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

/* The kernel's own asynchronous I/O (io_setup(2) and its neighbours), as far as it polls descriptors. Each call returns 0 or more, or -1 with errno. */

/* - limit: most polls at a time; /proc/sys/fs/aio-max-nr bounds the sum of all processes. */
static inline int linkspan_aio_setup(unsigned limit, aio_context_t *context) {
  *context = 0;
  return (int)syscall(SYS_io_setup, limit, context);
}

/* Waits until all polls of the context are over: some milliseconds. */
static inline int linkspan_aio_destroy(aio_context_t context) {
  return (int)syscall(SYS_io_destroy, context);
}

/* Polls once for `events` of poll(2), and signals the eventfd then. The block must stay where it is until it is over. */
static inline int linkspan_aio_poll(aio_context_t context, struct iocb *block, int descriptor, short events,
                                    int signal, uint64_t data) {
  memset(block, 0, sizeof *block);
  block->aio_lio_opcode = IOCB_CMD_POLL;
  block->aio_fildes = (uint32_t)descriptor;
  block->aio_buf = (uint64_t)(unsigned short)events;
  block->aio_flags = IOCB_FLAG_RESFD;
  block->aio_resfd = (uint32_t)signal;
  block->aio_data = data;
  return (int)syscall(SYS_io_submit, context, 1L, &block);
}

/* What is over, without waiting for more. */
static inline int linkspan_aio_take(aio_context_t context, struct io_event *events, int limit) {
  struct timespec none = {0, 0};
  return (int)syscall(SYS_io_getevents, context, 0L, (long)limit, events, &none);
}

/* Ends a poll; the kernel lets go of the file soon after, and still counts the poll as over. */
static inline int linkspan_aio_cancel(aio_context_t context, struct iocb *block) {
  struct io_event unused;
  return (int)syscall(SYS_io_cancel, context, block, &unused);
}

/* Tells once of `events` (epoll(7), EPOLLONESHOT). - operation: EPOLL_CTL_ADD or EPOLL_CTL_MOD. */
static inline int linkspan_epoll_arm(int epoll, int operation, int descriptor, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events | EPOLLONESHOT, .data = {.u64 = data}};
  return epoll_ctl(epoll, operation, descriptor, &event);
}
