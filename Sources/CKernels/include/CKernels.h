#ifndef HEARTH_CKERNELS_H
#define HEARTH_CKERNELS_H

// Arithmetic on arrays, the fastest this CPU has, chosen at start. One header an idea.
#include "affine.h"
#include "attention.h"
#include "bf16.h"
#include "dense.h"
#include "elementwise.h"
#include "formats.h"
#include "gemm.h"
#include "int8.h"
#include "isa.h"
#include "measure.h"
#include "threads.h"

#endif
