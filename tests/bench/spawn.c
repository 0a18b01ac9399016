// Runs a command N times, one after the other, and prints how long each took from spawn to its end, in nanoseconds,
// and its exit status. In C, since what starts a process must cost less than the process.
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  for (int left = atoi(argv[1]); left > 0; --left) {
    struct timespec begin;
    struct timespec end;
    pid_t pid = 0;
    int status = 0;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (posix_spawn(&pid, argv[2], &actions, NULL, argv + 2, environ) != 0) return 1;
    if (waitpid(pid, &status, 0) != pid) return 1;
    clock_gettime(CLOCK_MONOTONIC, &end);
    const long long took = (end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec;
    printf("%lld %d\n", took, WIFEXITED(status) ? WEXITSTATUS(status) : 128);
  }
  return 0;
}
