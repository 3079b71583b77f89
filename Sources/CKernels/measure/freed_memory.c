// Any header of the C library says whether it is glibc.
#include <stdlib.h>

#include "../include/measure.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

void hearth_give_back_freed_memory(void) {
#ifdef __GLIBC__
  (void)malloc_trim(0);
#endif
}
