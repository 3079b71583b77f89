// Every storage format and every kernel, without Swift: under each instruction set that the CPU offers and several numbers of
// threads, against the plain twins, the definitions and what other programs computed. `make arm` runs this on this machine and on
// emulated AArch64 processors and compares the digests that it prints.
//
//     kernels FIXTURES [quick]      FIXTURES: Tests/Fixtures/formats

#include "check.h"

int main(int count, char** arguments) {
  if (count < 2) {
    fputs("usage: kernels FIXTURES [quick]\n", stderr);
    return 2;
  }
  bool quick = count > 2 && strcmp(arguments[2], "quick") == 0;
  fprintf(stderr, "%s:", hearth_isa_name(hearth_isa_best()));
  check_formats(arguments[1], quick);
  check_affine(quick);
  check_fused(quick);
  check_products(quick);
  check_attention(quick);
  check_rows(quick);
  check_threads(quick);
  if (complaints() > 0)
    fprintf(stderr, " %d complaints\n", complaints());
  else
    fputs(" every kernel agrees\n", stderr);
  return complaints() > 0;
}
