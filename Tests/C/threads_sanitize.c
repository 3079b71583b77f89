// The pool of threads under the thread sanitizer: `make sanitize`. It follows what the C language promises about the order of
// memory rather than what this processor happens to keep, so silence means as much for AArch64 as for x86.
#include "kernels/check.h"

int main(void) {
  check_threads(true);
  return complaints() > 0;
}
