#pragma once
/* Linux calls that the Glibc module does not export, or that are variadic. */
#include <linux/sockios.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

static inline void linkspan_name_thread(const char *name) {
  prctl(PR_SET_NAME, name, 0, 0, 0);
}

/* Bytes in a socket's send queue that the peer has not acknowledged (tcp(7), SIOCOUTQ); -1 on error. */
static inline int linkspan_unsent_bytes(int descriptor) {
  int count = 0;
  return ioctl(descriptor, SIOCOUTQ, &count) == 0 ? count : -1;
}
