#ifndef HEARTH_IQ4_H
#define HEARTH_IQ4_H

#include <stdint.h>

#include "fit.h"

// The 16 levels of IQ4_NL and IQ4_XS: denser near zero, where weights are.

static const int8_t hearth_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                             1,    13,   25,  38,  53,  69,  89,  113};

/// For the search: where the nearest level changes, and by how much.
static const hearth_codebook hearth_iq4_codebook = {
    .midpoints = {-115.5f, -93.5f, -74, -57, -42, -28.5f, -16, -4.5f,
                  7, 19, 31.5f, 45.5f, 61, 79, 101},
    .steps = {23, 21, 18, 16, 14, 13, 12, 11, 12, 12, 13, 15, 16, 20, 24},
};

static const hearth_levels hearth_iq4_levels = {
    .low = -127, .high = 113, .codebook = &hearth_iq4_codebook};

#endif
