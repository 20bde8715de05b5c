#pragma once
#include <stddef.h>
#include <stdint.h>

/* What Linkspan needs of liburing: sends that do not wait, many to a system call.

   Not a module over <liburing.h>: that brings its own copy of <linux/io_uring.h>, and Swift refuses two definitions of one type in a program
   (swift-system's CSystem has the other). */

struct linkspan_ring;

/* 0, or a negative errno. `flags` are those of io_uring_setup(2) beside IORING_SETUP_SINGLE_ISSUER. */
int linkspan_ring_open(unsigned capacity, unsigned flags, struct linkspan_ring **ring);
void linkspan_ring_close(struct linkspan_ring *ring);
int linkspan_ring_descriptor(const struct linkspan_ring *ring);

/* Queue a write; its result goes to results[index]. There must be room for it. What is pointed to must stay until the call that has it done. */
void linkspan_ring_send(struct linkspan_ring *ring, int descriptor, const void *bytes, size_t size, unsigned index);
/* `vectors` are struct iovec. */
void linkspan_ring_send_vectors(
  struct linkspan_ring *ring, int descriptor, void *vectors, size_t number, unsigned index);

/* Has the kernel take what is queued, and returns when `number` results are there: what it took, or a negative errno. */
int linkspan_ring_submit(struct linkspan_ring *ring, unsigned number);
/* Takes the results that are there, bytes or negative errnos, and returns how many they were. */
unsigned linkspan_ring_collect(struct linkspan_ring *ring, int32_t *results);
/* Makes 0 the result of all that is still queued. */
void linkspan_ring_take_back(struct linkspan_ring *ring, int32_t *results);
