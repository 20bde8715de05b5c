// Functions that glibc declares only under _GNU_SOURCE, which Swift's Glibc module is built without.
#ifndef CTESTSUPPORT_SHIM_H
#define CTESTSUPPORT_SHIM_H

#include <spawn.h>

int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int lowest);
int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions, const char *path);
int pipe2(int ends[2], int flags);
int dup3(int descriptor, int replaced, int flags);

#endif
