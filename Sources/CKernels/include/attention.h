#ifndef HEARTH_ATTENTION_H
#define HEARTH_ATTENTION_H

// Attention over cached and packed sequences.

#endif
