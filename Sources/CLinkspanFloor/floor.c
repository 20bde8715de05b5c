#define _GNU_SOURCE
#include "floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct bytes {
  char *at;
  size_t count, room;
};

struct connection {
  int descriptor;
  int is_upgraded, waits_to_write, is_gone;
  struct bytes unread, unsent;
  uint32_t channel, place; /* of its one subscription */
  int is_subscribed;
};

/* Channels are numbered: `c17` is 17. */
struct channel {
  struct connection **subscribers;
  size_t count, room;
  struct bytes gathered;
  int is_touched;
};

static struct linkspan_floor_options options;
static struct channel *channels;
static size_t channel_room;
static uint32_t *touched;
static size_t touched_count, touched_room;
static struct connection **gone;
static size_t gone_count, gone_room;
static struct bytes replies;
static uint64_t publishes;
static char held[65536];
static size_t held_count;
static int poller;

static void *grown(void *block, size_t bytes) {
  void *larger = realloc(block, bytes);
  if (!larger) abort();
  return larger;
}

static void append(struct bytes *buffer, const void *from, size_t count) {
  if (buffer->count + count > buffer->room) {
    buffer->room = (buffer->count + count) * 2;
    buffer->at = grown(buffer->at, buffer->room);
  }
  memcpy(buffer->at + buffer->count, from, count);
  buffer->count += count;
}

static void watch(struct connection *connection, int writes) {
  struct epoll_event event = {.events = EPOLLIN | (writes ? EPOLLOUT : 0), .data.ptr = connection};
  epoll_ctl(poller, EPOLL_CTL_MOD, connection->descriptor, &event);
  connection->waits_to_write = writes;
}

static void put(struct connection *to, const char *from, size_t count) {
  if (to->is_gone) return;
  if (to->unsent.count == 0) {
    ssize_t sent = send(to->descriptor, from, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == (ssize_t)count) return;
    if (sent > 0) from += sent, count -= (size_t)sent;
  }
  append(&to->unsent, from, count);
  if (!to->waits_to_write) watch(to, 1);
}

static size_t put_header(char *frame, size_t count) {
  frame[0] = (char)0x81;
  if (count < 126) {
    frame[1] = (char)count;
    return 2;
  }
  frame[1] = 126;
  frame[2] = (char)(count >> 8);
  frame[3] = (char)count;
  return 4;
}

static struct channel *channel_named(const char *name) {
  size_t number = strtoul(name + 1, NULL, 10);
  if (number >= channel_room) {
    size_t room = (number + 1) * 2;
    channels = grown(channels, room * sizeof *channels);
    memset(channels + channel_room, 0, (room - channel_room) * sizeof *channels);
    channel_room = room;
  }
  return channels + number;
}

static int is_due(uint32_t every) { return every != 0 && publishes % every == 0; }

/* One message to the subscriber that gets the faults. */
static void put_faulty(struct connection *to, char *frame, size_t count) {
  if (is_due(options.drop_every)) return;
  if (is_due(options.swap_every)) {
    memcpy(held, frame, count);
    held_count = count;
    return;
  }
  if (is_due(options.corrupt_every)) frame[count - 8] ^= 1;
  put(to, frame, count);
  if (is_due(options.repeat_every)) put(to, frame, count);
  if (held_count > 0) put(to, held, held_count);
  held_count = 0;
}

static void publish(struct channel *channel, const char *text, size_t count) {
  static char frame[65540];
  if (count > 65535) return;
  size_t header = put_header(frame, count);
  memcpy(frame + header, text, count);
  publishes++;
  if (options.gathers) {
    append(&channel->gathered, frame, header + count);
    if (!channel->is_touched) {
      channel->is_touched = 1;
      if (touched_count == touched_room) {
        touched_room = touched_room * 2 + 64;
        touched = grown(touched, touched_room * sizeof *touched);
      }
      touched[touched_count++] = (uint32_t)(channel - channels);
    }
    return;
  }
  int has_faults = options.drop_every || options.repeat_every || options.swap_every || options.corrupt_every;
  for (size_t i = 0; i < channel->count; i++) {
    if (has_faults && i + 1 == channel->count) {
      put_faulty(channel->subscribers[i], frame, header + count);
    } else {
      put(channel->subscribers[i], frame, header + count);
    }
  }
}

static void reply(const char *text, size_t count) {
  char header[4];
  append(&replies, header, put_header(header, count));
  append(&replies, text, count);
}

static void subscribe(struct connection *connection, const char *name) {
  struct channel *channel = channel_named(name);
  if (channel->count == channel->room) {
    channel->room = channel->room * 2 + 8;
    channel->subscribers = grown(channel->subscribers, channel->room * sizeof *channel->subscribers);
  }
  connection->channel = (uint32_t)(channel - channels);
  connection->place = (uint32_t)channel->count;
  connection->is_subscribed = 1;
  channel->subscribers[channel->count++] = connection;
}

/* Where the call ID stands, or NULL: members have no order, so a server has to look. */
static const char *call_of(const char *text, size_t count) {
  static const char key[] = "\"cid\":";
  for (const char *at = text + count - sizeof key; at >= text; at--) {
    if (*at == '"' && memcmp(at, key, sizeof key - 1) == 0) return at + sizeof key - 1;
  }
  return NULL;
}

static void reply_to(const char *call) {
  char answer[64];
  int length = snprintf(answer, sizeof answer, "{\"rid\":%ld}", strtol(call, NULL, 10));
  reply(answer, (size_t)length);
}

/* `rest` begins with the name of the channel. What subscribers get has no call ID, so it is made anew, as every server has to,
   and whether or not there are subscribers. */
static void publish_received(const char *text, size_t count, const char *rest, const char *call) {
  static char forwarded[65536];
  const char *end = text + count;
  const char *quote = memchr(rest, '"', (size_t)(end - rest));
  if (!quote || end - quote < 12) return;
  const char *data = quote + sizeof "\",\"data\":" - 1;
  const char *data_end = memchr(data + 1, '"', (size_t)(end - data - 1));
  size_t kept = data_end ? (size_t)(data_end + 1 - text) : count;
  if (!data_end || kept + 2 > sizeof forwarded) return;
  memcpy(forwarded, text, kept);
  memcpy(forwarded + kept, "}}", 2);
  if (call) reply_to(call);
  publish(channel_named(rest), forwarded, kept + 2);
}

static void received(struct connection *connection, char *text, size_t count) {
  static const char publish_start[] = "{\"event\":\"#publish\",\"data\":{\"channel\":\"";
  static const char subscribe_start[] = "{\"event\":\"#subscribe\",\"data\":{\"channel\":\"";
  char *end = text + count, after = *end;
  *end = 0; /* the byte belongs to the next frame, and comes back below */
  const char *call = call_of(text, count);
  if (strncmp(text, publish_start, sizeof publish_start - 1) == 0) {
    publish_received(text, count, text + sizeof publish_start - 1, call);
  } else if (strncmp(text, subscribe_start, sizeof subscribe_start - 1) == 0 && call) {
    reply_to(call);
    subscribe(connection, text + sizeof subscribe_start - 1);
  } else if (strncmp(text, "{\"event\":\"#handshake\"", 21) == 0) {
    char answer[160];
    int length = snprintf(
        answer, sizeof answer,
        "{\"rid\":1,\"data\":{\"id\":\"%08x\",\"pingTimeout\":20000,\"isAuthenticated\":false}}",
        (unsigned)connection->descriptor);
    reply(answer, (size_t)length);
  }
  *end = after;
}

static size_t upgrade(struct connection *connection, char *text, size_t count) {
  char *end = memmem(text, count, "\r\n\r\n", 4);
  if (!end) return 0;
  *end = 0;
  char *key = strcasestr(text, "sec-websocket-key:");
  if (key) {
    key += 18;
    while (*key == ' ') key++;
    char answer[200];
    char accept[29] = {0};
    linkspan_floor_accept(key, accept);
    int length = snprintf(
        answer, sizeof answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %s\r\n\r\n",
        accept);
    append(&replies, answer, (size_t)length);
    connection->is_upgraded = 1;
  } else {
    connection->is_gone = 1;
  }
  return (size_t)(end + 4 - text);
}

/* One frame; returns its bytes, or 0 when it is not all there. */
static size_t frame_received(struct connection *connection, char *at, size_t count) {
  if (count < 6) return 0;
  size_t length = at[1] & 0x7F, header = 2;
  if (length == 126) length = (size_t)(uint8_t)at[2] << 8 | (uint8_t)at[3], header = 4;
  if (count < header + 4 + length) return 0;
  uint64_t mask;
  memcpy(&mask, at + header, 4);
  memcpy((char *)&mask + 4, at + header, 4);
  char *text = at + header + 4;
  size_t i = 0;
  for (; i + 8 <= length; i += 8) {
    uint64_t word;
    memcpy(&word, text + i, 8);
    word ^= mask;
    memcpy(text + i, &word, 8);
  }
  for (; i < length; i++) text[i] ^= ((char *)&mask)[i & 7];
  int opcode = at[0] & 0x0F;
  if (opcode == 8) {
    connection->is_gone = 1;
  } else if (opcode == 9) {
    char pong[2] = {(char)0x8A, (char)length};
    append(&replies, pong, sizeof pong);
    append(&replies, text, length);
  } else if (length > 2) {
    received(connection, text, length);
  }
  return header + 4 + length;
}

static size_t consume(struct connection *connection, char *at, size_t count) {
  size_t used = 0;
  while (used < count && !connection->is_gone) {
    size_t step = connection->is_upgraded ? frame_received(connection, at + used, count - used)
                                          : upgrade(connection, at + used, count - used);
    if (step == 0) break;
    used += step;
  }
  return used;
}

static void leave(struct connection *connection) {
  connection->is_gone = 1;
  epoll_ctl(poller, EPOLL_CTL_DEL, connection->descriptor, NULL);
  close(connection->descriptor);
  if (connection->is_subscribed) {
    struct channel *channel = channels + connection->channel;
    struct connection *last = channel->subscribers[--channel->count];
    channel->subscribers[connection->place] = last;
    last->place = connection->place;
  }
  if (gone_count == gone_room) {
    gone_room = gone_room * 2 + 64;
    gone = grown(gone, gone_room * sizeof *gone);
  }
  gone[gone_count++] = connection;
}

static void readable(struct connection *connection) {
  static char buffer[(1 << 18) + 1]; /* one more, for the zero after the last message */
  size_t kept = connection->unread.count;
  if (kept > 1 << 17) {
    leave(connection);
    return;
  }
  memcpy(buffer, connection->unread.at ? connection->unread.at : "", kept);
  ssize_t got = recv(connection->descriptor, buffer + kept, (1 << 18) - kept, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    leave(connection);
    return;
  }
  size_t count = kept + (size_t)got, used = consume(connection, buffer, count);
  connection->unread.count = 0;
  if (used < count) append(&connection->unread, buffer + used, count - used);
  if (replies.count > 0) put(connection, replies.at, replies.count);
  replies.count = 0;
  if (connection->is_gone) leave(connection);
}

static void writable(struct connection *connection) {
  struct bytes *unsent = &connection->unsent;
  ssize_t sent = send(connection->descriptor, unsent->at, unsent->count, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0) {
    memmove(unsent->at, unsent->at + sent, unsent->count - (size_t)sent);
    unsent->count -= (size_t)sent;
  }
  if (unsent->count == 0) watch(connection, 0);
}

static void turn_ended(void) {
  for (size_t i = 0; i < touched_count; i++) {
    struct channel *channel = channels + touched[i];
    for (size_t j = 0; j < channel->count; j++) put(channel->subscribers[j], channel->gathered.at, channel->gathered.count);
    channel->gathered.count = 0;
    channel->is_touched = 0;
  }
  touched_count = 0;
  for (size_t i = 0; i < gone_count; i++) {
    free(gone[i]->unread.at);
    free(gone[i]->unsent.at);
    free(gone[i]);
  }
  gone_count = 0;
}

static void accept_all(int listener) {
  for (;;) {
    int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) return;
    int yes = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) abort();
    connection->descriptor = descriptor;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event);
  }
}

int linkspan_floor_serve(const struct linkspan_floor_options *wanted) {
  options = *wanted;
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(options.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0) return errno;
  poller = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    static struct epoll_event events[1024];
    int count = epoll_wait(poller, events, 1024, -1);
    for (int i = 0; i < count; i++) {
      struct connection *connection = events[i].data.ptr;
      if (!connection) {
        accept_all(listener);
        continue;
      }
      if (!connection->is_gone && events[i].events & EPOLLOUT) writable(connection);
      if (!connection->is_gone && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(connection);
    }
    turn_ended();
  }
}
