#define _GNU_SOURCE
#include "caretaker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Short enough to be written in one piece (pipe(7), PIPE_BUF), whoever else writes. */
struct note {
  int group; /* 0 for a folder */
  int holds;
  char path[248];
};

enum { most_notes = 256 };

/* The child was forked from a process with threads, so it calls nothing but what signal-safety(7) lists, and allocates nothing. */
static struct note held[most_notes];
static size_t held_count;

static void take(const struct note *note) {
  size_t at = 0;
  while (at < held_count && (held[at].group != note->group || strcmp(held[at].path, note->path) != 0)) at++;
  if (note->holds) {
    if (at == held_count && held_count < most_notes) held_count++;
    if (at < most_notes) held[at] = *note;
  } else if (at < held_count) {
    held[at] = held[--held_count];
  }
}

static int is_any_alive(void) {
  for (size_t i = 0; i < held_count; i++) {
    if (held[i].group != 0 && kill(-held[i].group, 0) == 0) return 1;
  }
  return 0;
}

static void end_groups(int signal) {
  for (size_t i = 0; i < held_count; i++) {
    if (held[i].group != 0) kill(-held[i].group, signal);
  }
}

static void remove_folder(const char *path) {
  pid_t child = fork();
  if (child == 0) {
    execl("/bin/rm", "rm", "-rf", "--", path, (char *)NULL);
    _exit(1);
  }
  if (child > 0) waitpid(child, NULL, 0);
}

static void look_after(int notes) {
  struct note note;
  for (;;) {
    ssize_t got = read(notes, &note, sizeof note);
    if (got == (ssize_t)sizeof note) {
      take(&note);
    } else if (got >= 0 || errno != EINTR) {
      break;
    }
  }
  end_groups(SIGTERM);
  for (int i = 0; i < 60 && is_any_alive(); i++) usleep(50000);
  end_groups(SIGKILL);
  for (size_t i = 0; i < held_count; i++) {
    if (held[i].group == 0) remove_folder(held[i].path);
  }
}

int linkspan_caretaker_start(void) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  pid_t child = fork();
  if (child < 0) {
    int error = errno;
    close(ends[0]);
    close(ends[1]);
    errno = error;
    return -1;
  }
  if (child > 0) {
    close(ends[0]);
    return ends[1];
  }
  /* A group of its own: what the terminal sends to ours must not end it first. */
  setpgid(0, 0);
  prctl(PR_SET_NAME, "caretaker");
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  /* A copy of another caretaker's descriptor, or of a pipe that somebody reads to its end, would keep that one waiting. */
  dup2(ends[0], 0);
  close_range(1, ~0U, 0);
  look_after(0);
  _exit(0);
}

static void tell(int caretaker, struct note *note) {
  if (write(caretaker, note, sizeof *note) < 0) return; /* it is gone, and nobody else can help */
}

void linkspan_caretaker_group(int caretaker, int group, int is_alive) {
  struct note note = {.group = group, .holds = is_alive};
  tell(caretaker, &note);
}

void linkspan_caretaker_folder(int caretaker, const char *path, int exists) {
  struct note note = {.holds = exists};
  if (strlen(path) >= sizeof note.path) return;
  strcpy(note.path, path);
  tell(caretaker, &note);
}
