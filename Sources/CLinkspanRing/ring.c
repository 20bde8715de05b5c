#include "ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef IORING_SETUP_SINGLE_ISSUER
#error "liburing 2.3 or later is needed"
#endif

struct linkspan_ring {
  struct io_uring ring;
  /* By index; the kernel reads them when it takes the entry. */
  struct msghdr messages[];
};

int linkspan_ring_open(unsigned capacity, unsigned flags, struct linkspan_ring **opened) {
  struct linkspan_ring *ring = calloc(1, sizeof *ring + capacity * sizeof ring->messages[0]);
  if (ring == NULL) return -ENOMEM;
  int result = io_uring_queue_init(capacity, &ring->ring, flags | IORING_SETUP_SINGLE_ISSUER);
  if (result != 0) {
    free(ring);
    return result;
  }
  *opened = ring;
  return 0;
}

void linkspan_ring_close(struct linkspan_ring *ring) {
  io_uring_queue_exit(&ring->ring);
  free(ring);
}

int linkspan_ring_descriptor(const struct linkspan_ring *ring) { return ring->ring.ring_fd; }

static const int send_flags = MSG_DONTWAIT | MSG_NOSIGNAL;

void linkspan_ring_send(struct linkspan_ring *ring, int descriptor, const void *bytes, size_t size, unsigned index) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);
  io_uring_prep_send(entry, descriptor, bytes, size, send_flags);
  io_uring_sqe_set_data64(entry, index);
}

void linkspan_ring_send_vectors(
  struct linkspan_ring *ring, int descriptor, void *vectors, size_t number, unsigned index) {
  struct msghdr *message = &ring->messages[index];
  memset(message, 0, sizeof *message);
  message->msg_iov = vectors;
  message->msg_iovlen = number;
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);
  io_uring_prep_sendmsg(entry, descriptor, message, send_flags);
  io_uring_sqe_set_data64(entry, index);
}

int linkspan_ring_submit(struct linkspan_ring *ring, unsigned number) {
  return io_uring_submit_and_wait(&ring->ring, number);
}

unsigned linkspan_ring_collect(struct linkspan_ring *ring, int32_t *results) {
  struct io_uring_cqe *entry;
  unsigned head, count = 0;
  io_uring_for_each_cqe(&ring->ring, head, entry) {
    results[entry->user_data] = entry->res;
    count++;
  }
  io_uring_cq_advance(&ring->ring, count);
  return count;
}

void linkspan_ring_take_back(struct linkspan_ring *ring, int32_t *results) {
  const struct io_uring_sq *queue = &ring->ring.sq;
  for (unsigned offset = 1, count = io_uring_sq_ready(&ring->ring); offset <= count; offset++)
    results[queue->sqes[(queue->sqe_tail - offset) & queue->ring_mask].user_data] = 0;
}
