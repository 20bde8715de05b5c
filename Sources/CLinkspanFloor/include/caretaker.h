#pragma once

/* A child process that outlives this one by a moment: when this one ends, in whatever way, it ends the process groups that it was told
   of, with SIGTERM and three seconds later with SIGKILL, and removes the folders. Call before there is anything to look after.
   Returns the descriptor to tell it by, or -1 with errno. */
int linkspan_caretaker_start(void);

/* Takes on, or lets go of, a process group. */
void linkspan_caretaker_group(int caretaker, int group, int is_alive);

/* The same for a folder; a path that is too long for one message is left alone. */
void linkspan_caretaker_folder(int caretaker, const char *path, int exists);
