#pragma once
#include <stdint.h>

/* The least that a SocketCluster server can do: what it costs is the kernel's TCP and the parsing of one frame per publish. It
   knows no limits, tokens or pings, and trusts its input: a yardstick on loopback, and nothing to expose. */

struct linkspan_floor_options {
  uint16_t port; /* on 127.0.0.1 */
  int gathers;   /* 0: one send per message and subscriber; 1: one send per subscriber and turn of the loop */
  /* Faults, so that the checks of the generator can be seen to fail: each Nth message to the last subscriber of its channel;
     0 for none. */
  uint32_t drop_every;
  uint32_t repeat_every;
  uint32_t swap_every;
  uint32_t corrupt_every;
};

/* Serves for the life of the process; returns errno when it cannot listen. */
int linkspan_floor_serve(const struct linkspan_floor_options *options);

/* The Sec-WebSocket-Accept of a Sec-WebSocket-Key of 24 characters (RFC 6455 4.2.2): 28 characters into `accept`. */
void linkspan_floor_accept(const char *key, char *accept);
