#ifndef HEARTH_ELEMENTWISE_H
#define HEARTH_ELEMENTWISE_H

// Norms, activations and other maps over rows.

#endif
