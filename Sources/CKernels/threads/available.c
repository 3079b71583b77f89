#define _GNU_SOURCE
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../include/threads.h"

#if defined(__linux__)
#include <sched.h>
#endif

/// CPUs that this process may run on.
static int affinity_threads(void) {
#if defined(__linux__)
  // The kernel refuses a set smaller than its own, so grow until it fits.
  for (int capacity = 1024; capacity <= 1 << 20; capacity *= 2) {
    cpu_set_t* set = CPU_ALLOC((size_t)capacity);
    if (set == NULL) break;
    size_t bytes = CPU_ALLOC_SIZE((size_t)capacity);
    bool known = sched_getaffinity(0, bytes, set) == 0;
    int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return count;
  }
#endif
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online < 1 ? 1 : online > INT_MAX ? INT_MAX : (int)online;
}

/// Whole CPUs in `quota` per `period`; 0 when either says "no limit".
static int whole_threads(double quota, double period) {
  if (!(quota > 0) || !(period > 0)) return 0;
  double threads = quota / period;
  if (threads >= INT_MAX) return 0;
  return threads < 1 ? 1 : (int)threads;
}

static int smaller_limit(int a, int b) { return a == 0 ? b : b == 0 ? a : a < b ? a : b; }

static bool read_number(const char* path, double* number) {
  FILE* file = fopen(path, "re");
  if (file == NULL) return false;
  bool found = fscanf(file, "%lf", number) == 1;
  fclose(file);
  return found;
}

/// The limit that one folder of version 1 or 2 sets itself.
static int folder_limit(const char* folder, bool version2) {
  char path[PATH_MAX];
  double quota = 0, period = 0;
  if (version2) {
    // "max 100000" or "150000 100000"; "max" is no number, so no limit.
    if (snprintf(path, sizeof path, "%s/cpu.max", folder) >= (int)sizeof path) return 0;
    FILE* file = fopen(path, "re");
    if (file == NULL) return 0;
    if (fscanf(file, "%lf %lf", &quota, &period) != 2) quota = 0;
    fclose(file);
    return whole_threads(quota, period);
  }
  // Microseconds a period, -1 for no limit.
  if (snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder) >= (int)sizeof path ||
      !read_number(path, &quota))
    return 0;
  if (snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder) >= (int)sizeof path ||
      !read_number(path, &period))
    return 0;
  return whole_threads(quota, period);
}

/// The smallest limit from `mount` + `group` up to `mount`. Inside a container the group's path is often the
/// host's and does not exist here; the mount's own folder is then the container's.
static int group_limit(const char* mount, const char* group, bool version2) {
  char folder[PATH_MAX];
  if (snprintf(folder, sizeof folder, "%s%s", mount, group) >= (int)sizeof folder) return 0;
  size_t root = strlen(mount);
  int limit = 0;
  for (;;) {
    limit = smaller_limit(limit, folder_limit(folder, version2));
    char* slash = strrchr(folder + root, '/');
    if (slash == NULL) return limit;
    *slash = 0;
  }
}

int hearth_cgroup_threads(const char* membership, const char* mount) {
  FILE* file = fopen(membership, "re");
  if (file == NULL) return 0;
  int limit = 0;
  char line[PATH_MAX];
  // A line is "hierarchy:controllers:/path"; version 2 has hierarchy 0 and no controllers.
  while (fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "\n")] = 0;
    char* controllers = strchr(line, ':');
    char* group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (group == NULL || group[1] != '/') continue;
    *controllers++ = 0;
    *group++ = 0;
    char folder[PATH_MAX + 8];
    if (*controllers == 0) {
      limit = smaller_limit(limit, group_limit(mount, group, true));
      continue;
    }
    bool cpu = false;
    char names[PATH_MAX], *rest = NULL;
    snprintf(names, sizeof names, "%s", controllers);
    for (char* name = strtok_r(names, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
      cpu |= strcmp(name, "cpu") == 0;
    if (!cpu || snprintf(folder, sizeof folder, "%s/%s", mount, controllers) >= PATH_MAX) continue;
    limit = smaller_limit(limit, group_limit(folder, group, false));
  }
  fclose(file);
  return limit;
}

int hearth_available_threads(void) {
  int threads = affinity_threads();
  int limit = hearth_cgroup_threads("/proc/self/cgroup", "/sys/fs/cgroup");
  threads = smaller_limit(threads, limit);
  return threads < 1 ? 1 : threads;
}
